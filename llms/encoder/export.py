"""Any sentence encoder made of known parts as an OpenVINO graph, accepted only when its vectors are close to torch's.

The whole pipeline is traced, pooling and projections included, so nothing is rebuilt by hand. Its tokenizer is taken
along: an exported encoder runs without torch and without sentence-transformers, and loads in a fraction of the time.
"""

import contextlib
import json
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llms.encoder.openvino import GRAPH, TOKENIZER, OpenVinoEncoder, tokenizer_settings
from llms.encoder.sentence_encoder import SentenceEncoder, open_sentence_transformer
from llms.encoder.sentences import CALIBRATION, PROBES
from llms.encoder.tokenizer import EncoderTokenizer, take_tokenizer
from llms.errors import EngineError
from llms.loading import file_sha256, folder_fingerprint, quiet_loading
from llms.openvino_export import (
    MANIFEST,
    decline_telemetry,
    export_place,
    put_in_place,
    read_manifest,
    require_packages,
)

if TYPE_CHECKING:
    import openvino as ov
    from sentence_transformers import SentenceTransformer


ExportPrecision = Literal["float32", "bfloat16", "int8"]

_PACKAGES = ("openvino", "openvino_telemetry", "nncf")
_VERSIONS_OF = ("openvino", "nncf", "torch", "transformers", "sentence-transformers", "tokenizers")
_RECIPE = "1"  # raised when this module writes something else, so that older exports are made anew
_MIN_MEAN_COSINE: dict[ExportPrecision, float] = {"float32": 0.9999, "bfloat16": 0.999, "int8": 0.995}
# how much of the activations' spread is moved into the weights (SmoothQuant's alpha); on MiniLM, 0.7 leaves a mean
# cosine of 0.996, the library's own 0.95 one of 0.9945
SMOOTHING = (0.7, 0.95)
_EXPORT_LOCK = threading.Lock()  # one trace at a time: it holds the weights twice
_NUM_ALONE = 4


def export_encoder(folder: Path, *, precision: ExportPrecision) -> Path:
    """Return a folder that `OpenVinoEncoder` can run, made from a sentence encoder once and then kept.

    It lies beside the model in `openvino/encoder-<precision>`, or under `~/.cache/tunechain` if the model's folder
    cannot be written. It is made anew when weights, tokenizer, configuration or the libraries change, or when a file
    of it is not the one that was written.

    Args:
        folder: a checked model folder in the form of sentence-transformers.
        precision: "float32" keeps the weights, "bfloat16" halves them; "int8" also makes the products in integers,
            for which activations are calibrated on built-in sentences.

    Raises:
        EngineError: if a package is missing, if this model has parts that cannot be carried over, or if its vectors
            come out too far from torch's; the message says why and names the measured cosine.
        ModelFolderError: if the folder is no sentence encoder.
    """
    wanted = export_identity(folder, precision, recipe=_RECIPE)
    return export_once(
        _target(folder, precision),
        wanted,
        lambda work: _write_export(folder, work, precision=precision, identity=wanted),
    )


def export_once(target: Path, wanted: Mapping[str, str], write: Callable[[Path], None]) -> Path:
    """Return `target` once it holds a complete export of this identity; `write` makes one in an empty folder.

    Raises:
        EngineError: if a package is missing, or whatever `write` raises.
    """
    require_packages(_PACKAGES)
    decline_telemetry()
    with _EXPORT_LOCK:
        if is_current_export(target, wanted):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        # other processes may export at the same time: each works in a folder of its own
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            write(work)
            put_in_place(work, target, is_current=lambda place: is_current_export(place, wanted))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target


def find_encoder_export(folder: Path, *, precision: ExportPrecision) -> Path | None:
    """Return the complete and current export of an encoder, or None; nothing is made."""
    target = _target(folder, precision)
    return target if is_current_export(target, export_identity(folder, precision, recipe=_RECIPE)) else None


def _target(folder: Path, precision: ExportPrecision) -> Path:
    return export_place(folder) / f"encoder-{precision}"


def export_identity(folder: Path, precision: ExportPrecision, *, recipe: str) -> dict[str, str]:
    """Return all that an export depends on; with another identity it is made anew."""
    libraries = {name: version(name) for name in _VERSIONS_OF}
    return {"fingerprint": folder_fingerprint(folder), "precision": precision, "recipe": recipe, **libraries}


def is_current_export(target: Path, wanted: Mapping[str, str]) -> bool:
    """Return whether a complete export of this identity lies there, its files as they were written."""
    manifest = read_manifest(target)
    if manifest.get("identity") != wanted:
        return False
    files: dict[str, str] = manifest.get("files") or {GRAPH: ""}
    return all((target / name).is_file() and file_sha256(target / name) == sha for name, sha in files.items())


def _write_export(folder: Path, work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]) -> None:
    import openvino as ov

    model = open_sentence_transformer(folder, device="cpu").float().eval()
    try:
        tokenizer = take_tokenizer(model)
    except EngineError as error:
        raise EngineError(_refusal(str(error))) from error
    graph = _trace(model, tokenizer)
    tokenizer.tokenizer.save(str(work / TOKENIZER))
    reference = SentenceEncoder(model, device="cpu", precision="float32")
    settings = {"dimension": reference.dimension, **tokenizer_settings(tokenizer)}
    verified: dict[str, Any] = {}
    for candidate in _graphs(graph, tokenizer, precision):
        ov.save_model(candidate, work / GRAPH, compress_to_fp16=precision != "float32")
        verified = _compare(reference, OpenVinoEncoder(work, settings=settings, precision=precision))
        if verified["mean_cosine"] >= _MIN_MEAN_COSINE[precision]:
            break
    else:
        msg = (
            f"its {precision} vectors have a mean cosine of {verified['mean_cosine']:.4f} to those of torch in "
            f"float32, at least {_MIN_MEAN_COSINE[precision]} is asked for"
        )
        raise EngineError(_refusal(msg))
    files = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
    manifest = {"identity": identity, "verified": verified, "settings": settings, "files": files}
    # the manifest comes last: if it exists, the export is complete
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _trace(model: "SentenceTransformer", tokenizer: EncoderTokenizer) -> "ov.Model":
    import openvino as ov
    import torch

    example = tokenizer.inputs(tokenizer.prepare(PROBES[:3], "plain"))  # of several lengths, so that the mask counts
    inputs = {name: torch.from_numpy(array) for name, array in example.items()}
    try:
        with torch.inference_mode(), quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about shapes: the proof below is what counts
            return ov.convert_model(_as_function(model), example_input=inputs)
    except Exception as error:  # each architecture fails in its own way
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EngineError(_refusal(f"its layers cannot be traced ({reason})")) from error


def _as_function(model: "SentenceTransformer") -> Any:
    """Return the pipeline as a module from tensors to vectors: a tracer takes no dictionary that grows on the way."""
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
        ) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:
                features["token_type_ids"] = token_type_ids
            vectors: torch.Tensor = self.model(features)["sentence_embedding"]
            return vectors

    return Pipeline().eval()


def _graphs(graph: "ov.Model", tokenizer: EncoderTokenizer, precision: ExportPrecision) -> Iterator["ov.Model"]:
    """Yield the graphs to try, until one has vectors that are close enough."""
    if precision != "int8":
        yield graph
        return
    samples = [tokenizer.inputs([text]) for text in tokenizer.prepare(CALIBRATION, "plain")]
    for strength in SMOOTHING:
        yield quantize_graph(graph.clone(), samples, smoothing=strength)


def quantize_graph(graph: "ov.Model", samples: Sequence[Mapping[str, Any]], *, smoothing: float) -> "ov.Model":
    """Return the graph with integer products; scales per output channel for weights, calibrated for activations.

    Args:
        samples: inputs of the graph by name, to calibrate with.
        smoothing: how much of the activations' spread is moved into the weights; see `SMOOTHING`.
    """
    import nncf

    alphas = nncf.AdvancedSmoothQuantParameters(matmul=smoothing)
    with quiet_loading("nncf"), contextlib.redirect_stdout(None):  # its progress bar has no switch
        return nncf.quantize(
            graph,
            nncf.Dataset(samples),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alphas),
        )


def _compare(reference: SentenceEncoder, exported: OpenVinoEncoder) -> dict[str, Any]:
    """Return how close the vectors of the built-in sentences are to torch's in float32."""
    # a few texts run through a graph of their own
    vectors = np.concatenate([exported.encode(PROBES[:_NUM_ALONE]), exported.encode(PROBES[_NUM_ALONE:])])
    cosines = (reference.encode(PROBES) * vectors).sum(axis=1)
    cosines = np.nan_to_num(cosines, nan=-1.0)  # a graph that overflows is as far off as can be
    return {
        "texts": len(PROBES),
        "mean_cosine": round(float(cosines.mean()), 6),
        "min_cosine": round(float(cosines.min()), 6),
    }


def _refusal(reason: str) -> str:
    return f"this encoder cannot run on OpenVINO as asked: {reason}; take another precision, or engine='torch'"
