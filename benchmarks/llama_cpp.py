"""llama.cpp's server as a rival: a GGUF file behind OpenAI's addresses, in a process with a Python of its own.

`xllamacpp` is no dependency of this project: install it into a virtual environment elsewhere, and name its Python.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LlamaServer", "llama_server"]

_PROGRAM = """
import sys, xllamacpp
path, threads, context, parallel = sys.argv[1], *map(int, sys.argv[2:])
params = xllamacpp.CommonParams()
params.model.path = path
params.n_ctx, params.n_parallel, params.kv_unified = context, parallel, True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.use_jinja, params.warmup, params.port, params.cache_ram_mib = True, True, 0, 0
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """Where a server listens, and its process."""

    address: str
    pid: int


@contextlib.contextmanager
def llama_server(python: Path, gguf: Path, *, context: int, parallel: int, threads: int = 2) -> Iterator[LlamaServer]:
    """Run llama.cpp's server on a file until the block ends.

    Args:
        python: the interpreter that has `xllamacpp`.
        context: tokens that all requests have together.
        parallel: requests at the same time.
    """
    command = [str(python), "-c", _PROGRAM, str(gguf), str(threads), str(context), str(parallel)]
    with subprocess.Popen(  # noqa: S603  # our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith("listening"):
                    yield LlamaServer(line.split()[1], process.pid)
                    break
            else:
                msg = f"llama.cpp did not start with {gguf}"
                raise RuntimeError(msg)
        finally:
            process.kill()
