"""The workspace's customer service and models behind the addresses that OpenAI's clients know."""
