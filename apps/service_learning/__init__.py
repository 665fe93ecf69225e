"""Learning customer service from logs: what was read, the groups that were found, and what a person decided."""
