"""Processes of this library that work for another one: how they start, what goes through their pipes, their limits."""

__all__: list[str] = []
