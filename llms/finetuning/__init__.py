"""Turning labelled records into models that `llms` loads; imported by the application layer only."""
