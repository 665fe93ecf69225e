"""Sentence encoders on OpenVINO: an exported graph with its own tokenizer, without torch."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from llms.arrays import FloatArray
from llms.encoder.text_encoder import PreparedText, Role, TextEncoder
from llms.encoder.tokenizer import EncoderTokenizer
from llms.errors import EngineError
from llms.openvino_export import GRAPH, TOKENIZER, read_manifest

if TYPE_CHECKING:
    import openvino as ov


_NUM_REQUESTS = 2  # at a time, each with its share of the cores: small products do not keep all of them busy
# A graph that takes any shape prepares itself anew at every change of shape, which takes longer than a short text does;
# one of fixed shape does not. It takes 100 MB, so there is one; above so many texts, a batch is faster.
_SHORT_TOKENS = 32
_FEW_TEXTS = 8
# Up to so many texts go in parts of a few, padded to a multiple of so many tokens: few shapes, which it remembers. That
# takes two thirds of the time for 16 texts, and more for 64 short ones.
_SOME_TEXTS = 32
_PART_TEXTS = 4
_TOKEN_STEP = 16


class OpenVinoEncoder(TextEncoder):
    """Texts in, unit vectors out, through a graph written by `export_encoder`.

    Args:
        export: the folder with graph and tokenizer.
        settings: what the manifest says of the tokenizer and the vectors.
        precision: "float32" computes in float32; the others in bfloat16 where this CPU multiplies it natively.
    """

    name = "openvino"
    max_gathered = 16  # 64 take less time by a tenth each, and four times as long
    max_tokens = 2048  # shared by the requests; on 2 cores, half as many is slower and twice as many no faster

    def __init__(self, export: Path, *, settings: Mapping[str, Any], precision: str) -> None:
        super().__init__()
        self.precision = precision
        self._dimension = int(settings["dimension"])
        self._tokenizer = _open_tokenizer(export, settings)
        self._export = export
        self._requests = _open_requests(compile_graph(export, precision, num_requests=_NUM_REQUESTS))

    @property
    @override
    def dimension(self) -> int:
        return self._dimension

    @override
    def prepare(self, texts: Sequence[str], role: Role) -> list[PreparedText]:
        return self._tokenizer.prepare(texts, role)

    @override
    def _forward(self, batch: Sequence[PreparedText]) -> FloatArray:
        vectors = np.zeros((len(batch), self._dimension), dtype=np.float32)
        if len(batch) > _SOME_TEXTS:
            # every second text to each request: batches are sorted by length, so the parts take equally long
            parts = [list(range(begin, len(batch), _NUM_REQUESTS)) for begin in range(_NUM_REQUESTS)]
            self._run(self._requests, batch, parts, vectors)
            return vectors
        max_short = _SHORT_TOKENS if len(batch) <= _FEW_TEXTS else 0
        short = [index for index, text in enumerate(batch) if text.num_tokens <= max_short]
        longer = [index for index, text in enumerate(batch) if text.num_tokens > max_short]
        if short:
            self._run(self._short_requests, batch, [[index] for index in short], vectors, token_step=_SHORT_TOKENS)
        if longer:
            size = min(_PART_TEXTS, -(-len(longer) // _NUM_REQUESTS))  # each request has something to do
            parts = [longer[begin : begin + size] for begin in range(0, len(longer), size)]
            self._run(self._requests, batch, parts, vectors, token_step=_TOKEN_STEP)
        return vectors

    @functools.cached_property
    def _short_requests(self) -> list["ov.InferRequest"]:
        shape = (1, _SHORT_TOKENS)
        return _open_requests(compile_graph(self._export, self.precision, num_requests=_NUM_REQUESTS, shape=shape))

    def _run(
        self,
        requests: Sequence["ov.InferRequest"],
        batch: Sequence[PreparedText],
        parts: Sequence[Sequence[int]],
        vectors: FloatArray,
        *,
        token_step: int = 1,
    ) -> None:
        """Put the vectors of each part, which are indices of `batch`, into their rows of `vectors`."""
        failure: RuntimeError | None = None
        for begin in range(0, len(parts), len(requests)):
            running = list(zip(requests, parts[begin : begin + len(requests)], strict=False))
            for request, part in running:
                rows = [batch[index] for index in part]
                request.start_async(self._tokenizer.inputs(rows, token_step=token_step))
            for request, part in running:
                try:
                    request.wait()
                    vectors[part] = request.get_output_tensor(0).data  # (texts, dimension)
                except RuntimeError as error:  # the other request must end before its inputs may go
                    failure = error
        if failure is not None:
            msg = f"OpenVINO failed on {len(batch)} texts: {str(failure).strip().splitlines()[-1]}"
            raise EngineError(msg) from failure


def _open_requests(compiled: "ov.CompiledModel") -> list["ov.InferRequest"]:
    return [compiled.create_infer_request() for _ in range(_NUM_REQUESTS)]


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


def compile_graph(
    export: Path, precision: str, *, num_requests: int, shape: tuple[int, int] | None = None
) -> "ov.CompiledModel":
    """Return the graph of an export, ready for so many requests at a time.

    Args:
        shape: (texts, tokens) of every input; None takes any.

    Raises:
        EngineError: if OpenVINO cannot run it.
    """
    import openvino as ov

    core = ov.Core()
    multiplies_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    properties = {
        # what is not an integer product of int8 stays in 32 bits: with AMX, 16 bits cost accuracy and save no time
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" and multiplies_bfloat16 else "f32",
        "NUM_STREAMS": num_requests,
    }
    try:
        graph = core.read_model(export / GRAPH)
        if shape is not None:
            graph.reshape({port: list(shape) for port in graph.inputs})
        return core.compile_model(graph, "CPU", properties)
    except RuntimeError as error:
        msg = f"OpenVINO cannot run {export}: {error}; delete that folder to have it made anew"
        raise EngineError(msg) from error
