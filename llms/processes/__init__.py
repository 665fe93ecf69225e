"""Processes of this library that work for another one: how they start, what goes through their pipes, their limits."""

from llms.processes.limited import LimitedProcess, OverLimitError, WorkLimits

__all__ = ["LimitedProcess", "OverLimitError", "WorkLimits"]
