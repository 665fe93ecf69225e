"""Kills, damage and full disks: functions that count what is kept; `benchmarks/` makes pages of long runs."""
