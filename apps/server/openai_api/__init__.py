"""OpenAI-compatible API over the workspace's customer service and models."""
