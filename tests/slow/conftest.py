"""Real models use every core."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _all_cores():
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
