"""Sentence vectors with OpenVINO: an exported encoder with its own tokenizer, without torch."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from llms.encoder_tokenizer import EncoderTokenizer
from llms.engines.export_folder import read_manifest
from llms.errors import EngineError
from llms.text_encoder import FloatArray, PreparedText, Role, TextEncoder

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["GRAPH", "TOKENIZER", "OpenVinoEncoder", "compile_graph", "load_openvino_encoder", "tokenizer_settings"]

GRAPH = "encoder.xml"
TOKENIZER = "tokenizer.json"
_NUM_REQUESTS = 2  # at a time, each with its share of the cores: small products do not keep all of them busy


class OpenVinoEncoder(TextEncoder):
    """Texts in, unit vectors out, through a graph written by `export_encoder`.

    Args:
        export: the folder with graph and tokenizer.
        settings: what the manifest says of the tokenizer and the vectors.
        precision: "float32" computes in float32; the others in bfloat16 where this CPU multiplies it natively.
    """

    name = "openvino"
    max_tokens = 2048  # shared by the requests; on 2 cores, half as many is slower and twice as many no faster

    def __init__(self, export: Path, *, settings: Mapping[str, Any], precision: str) -> None:
        super().__init__()
        self.precision = precision
        self._dimension = int(settings["dimension"])
        self._tokenizer = _open_tokenizer(export, settings)
        compiled = compile_graph(export, precision, num_requests=_NUM_REQUESTS)
        self._requests = [compiled.create_infer_request() for _ in range(_NUM_REQUESTS)]

    @property
    @override
    def dimension(self) -> int:
        return self._dimension

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        return self._tokenizer.prepare(texts, role)

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        # every second text to each request: batches are sorted by length, so the parts take equally long
        parts = [batch[begin::_NUM_REQUESTS] for begin in range(min(_NUM_REQUESTS, len(batch)))]
        running = list(zip(self._requests, parts, strict=False))
        for request, part in running:
            request.start_async(self._tokenizer.inputs(part))
        vectors = np.zeros((len(batch), self._dimension), dtype=np.float32)
        failure: RuntimeError | None = None
        for begin, (request, _) in enumerate(running):
            try:
                request.wait()
                vectors[begin::_NUM_REQUESTS] = request.get_output_tensor(0).data  # (texts, dimension)
            except RuntimeError as error:  # the other request must end before its inputs may go
                failure = error
        if failure is not None:
            msg = f"OpenVINO failed on {len(batch)} texts: {str(failure).strip().splitlines()[-1]}"
            raise EngineError(msg) from failure
        return vectors


def load_openvino_encoder(export: Path) -> OpenVinoEncoder:
    """Return the encoder of a complete export; the same files are loaded once and then shared.

    Raises:
        EngineError: if the export is incomplete or OpenVINO cannot run it.
    """
    manifest = read_manifest(export)
    if not manifest:
        msg = f"{export} is no complete export; make it with export_encoder"
        raise EngineError(msg)
    return _load(export, str(manifest["files"]))


@functools.lru_cache(maxsize=8)
def _load(export: Path, _files: str) -> OpenVinoEncoder:
    manifest = read_manifest(export)
    return OpenVinoEncoder(export, settings=manifest["settings"], precision=manifest["identity"]["precision"])


def tokenizer_settings(tokenizer: EncoderTokenizer) -> dict[str, Any]:
    """Return what must be kept beside the tokenizer's own file, ready for JSON."""
    return {
        "prompts": dict(tokenizer.prompts),
        "pad_id": tokenizer.pad_id,
        "pads_left": tokenizer.pads_left,
        "input_names": list(tokenizer.input_names),
    }


def _open_tokenizer(export: Path, settings: Mapping[str, Any]) -> EncoderTokenizer:
    from tokenizers import Tokenizer

    return EncoderTokenizer(
        tokenizer=Tokenizer.from_file(str(export / TOKENIZER)),
        prompts=settings["prompts"],
        pad_id=settings["pad_id"],
        pads_left=settings["pads_left"],
        input_names=tuple(settings["input_names"]),
    )


def compile_graph(export: Path, precision: str, *, num_requests: int) -> "ov.CompiledModel":
    """Return the graph of an export, ready for so many requests at a time.

    Raises:
        EngineError: if OpenVINO cannot run it.
    """
    import openvino as ov

    core = ov.Core()
    multiplies_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    properties = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision != "float32" and multiplies_bfloat16 else "f32",
        "NUM_STREAMS": num_requests,
    }
    try:
        return core.compile_model(export / GRAPH, "CPU", properties)
    except RuntimeError as error:
        msg = f"OpenVINO cannot run {export}: {error}; delete that folder to have it made anew"
        raise EngineError(msg) from error
