"""Device and precision without torch: the same answers as with it."""

import subprocess
import sys

from llms.device import choose_device, wants_bfloat16

WITHOUT_TORCH = """
import sys
from llms.device import choose_device, wants_bfloat16
print(choose_device(), wants_bfloat16("cpu"))
print("torch" in sys.modules)
"""


def test_what_is_read_from_the_system_is_what_torch_says():
    import torch

    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    said, has_loaded = done.stdout.splitlines()
    assert torch  # with it loaded, it is asked
    assert said == f"{choose_device()} {wants_bfloat16('cpu')}"
    if sys.platform == "linux" and not torch.cuda.is_available() and torch.version.cuda is None:
        assert has_loaded == "False"
