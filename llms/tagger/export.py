"""Any token classification model as an OpenVINO graph, accepted only when it gives words the tags that torch gives."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.encoder.export import (
    SMOOTHING,
    ExportPrecision,
    export_identity,
    export_once,
    is_current_export,
    quantize_graph,
)
from llms.encoder.openvino import GRAPH, TOKENIZER
from llms.encoder.sentences import CALIBRATION, PROBES
from llms.errors import EngineError
from llms.loading import file_sha256, quiet_loading
from llms.manifest import TaggerManifest
from llms.openvino_export import MANIFEST, export_place
from llms.tagger.openvino import OpenVinoTagger
from llms.tagger.token_tagger import TokenTagger
from llms.tagger.torch_tagger import TorchTagger, load_torch_tagger

if TYPE_CHECKING:
    import openvino as ov


_RECIPE = "1"  # raised when this module writes something else, so that older exports are made anew
_MIN_AGREEMENT: dict[ExportPrecision, float] = {"float32": 0.999, "bfloat16": 0.999, "int8": 0.99}


def export_tagger(folder: Path, manifest: TaggerManifest | None, *, precision: ExportPrecision) -> Path:
    """Return a folder that `OpenVinoTagger` can run, made from a tagger once and then kept.

    It lies beside the model in `openvino/tagger-<precision>`, and is made anew when weights, tokenizer, configuration
    or the libraries change.

    Args:
        folder: a checked model folder that needs no base.
        manifest: of a folder that `finetune_tagger` wrote.
        precision: as for `export_encoder`.

    Raises:
        EngineError: if a package is missing, the model cannot be carried over, or too few words get the tag that
            torch in float32 gives them; the message names the measured share.
        ModelFolderError: if the folder is no tagger.
    """
    wanted = export_identity(folder, precision, recipe=_RECIPE)

    def write(work: Path) -> None:
        tagger = load_torch_tagger(folder, manifest, device="cpu", precision="float32")
        probes = [*PROBES, *(canary.text for canary in (manifest.canaries if manifest else ()))]
        _write_export(tagger, probes, work, precision=precision, identity=wanted)

    return export_once(_target(folder, precision), wanted, write)


def find_tagger_export(folder: Path, *, precision: ExportPrecision) -> Path | None:
    """Return the complete and current export of a tagger, or None; nothing is made."""
    target = _target(folder, precision)
    return target if is_current_export(target, export_identity(folder, precision, recipe=_RECIPE)) else None


def _target(folder: Path, precision: ExportPrecision) -> Path:
    return export_place(folder) / f"tagger-{precision}"


def _write_export(
    tagger: TorchTagger, probes: Sequence[str], work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]
) -> None:
    import openvino as ov

    graph = _trace(tagger)
    tagger.tokenizer.tokenizer.save(str(work / TOKENIZER))
    settings = {
        "tags": list(tagger.scheme.tags),
        "is_strict": tagger.scheme.is_strict,
        "tokenizer": tagger.tokenizer.settings,
    }
    agreement = 0.0
    for candidate in _graphs(graph, tagger, precision):
        ov.save_model(candidate, work / GRAPH, compress_to_fp16=precision != "float32")
        agreement = _agreement(tagger, OpenVinoTagger(work, settings=settings, precision=precision), probes)
        if agreement >= _MIN_AGREEMENT[precision]:
            break
    else:
        msg = (
            f"in {precision}, {agreement:.4f} of the words get the tag that torch gives them in float32, at least "
            f"{_MIN_AGREEMENT[precision]} is asked for"
        )
        raise EngineError(_refusal(msg))
    files = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
    verified = {"texts": len(probes), "agreement": round(agreement, 6)}
    manifest = {"identity": identity, "verified": verified, "settings": settings, "files": files}
    # the manifest comes last: if it exists, the export is complete
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _trace(tagger: TorchTagger) -> "ov.Model":
    import openvino as ov
    import torch

    example = _inputs(tagger, PROBES[:3])  # of several lengths, so that the mask counts
    inputs = {name: torch.from_numpy(array) for name, array in example.items()}
    try:
        with torch.inference_mode(), quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about shapes: the proof below is what counts
            return ov.convert_model(_as_function(tagger.model), example_input=inputs)
    except Exception as error:  # each architecture fails in its own way
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EngineError(_refusal(f"its layers cannot be traced ({reason})")) from error


def _as_function(model: Any) -> Any:
    """Return the network as a module from tensors to outputs: a tracer takes no objects."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **types).logits
            return logits

    return Network().eval()


def _graphs(graph: "ov.Model", tagger: TorchTagger, precision: ExportPrecision) -> Iterator["ov.Model"]:
    """Yield the graphs to try, until one gives the tags that torch gives."""
    if precision != "int8":
        yield graph
        return
    samples = [_inputs(tagger, [text]) for text in CALIBRATION]
    for strength in SMOOTHING:
        yield quantize_graph(graph.clone(), samples, smoothing=strength)


def _inputs(tagger: TorchTagger, texts: Sequence[str]) -> dict[str, Any]:
    """Return what the network takes for the first window of each text."""
    tokenizer = tagger.tokenizer
    rows = [tokenizer.row(text, tokenizer.windows(text)[0]) for text in tokenizer.prepare(texts)]
    return dict(tokenizer.inputs(rows))


def _agreement(reference: TokenTagger, exported: TokenTagger, probes: Sequence[str]) -> float:
    """Return the share of words whose likeliest tag is the same."""
    same = total = 0
    for ours, theirs in zip(reference.word_logits(probes), exported.word_logits(probes), strict=True):
        same += int((ours.logits.argmax(axis=1) == theirs.logits.argmax(axis=1)).sum())
        total += len(ours.logits)
    return same / max(total, 1)


def _refusal(reason: str) -> str:
    return f"this tagger cannot run on OpenVINO as asked: {reason}; take another precision, or engine='torch'"
