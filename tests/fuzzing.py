"""Amounts of random input: little in every run, much at night."""

import pytest


def rounds(usual, *, nightly):
    """Return the numbers to parametrize a test with; those from `usual` on are left to `make nightly`."""
    return [pytest.param(number, marks=pytest.mark.nightly if number >= usual else ()) for number in range(nightly)]
