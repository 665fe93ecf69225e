"""Any token classification model as an OpenVINO graph, accepted only when it gives words the tags that torch gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llms.encoder.sentences import CALIBRATION, PROBES
from llms.manifest import TaggerManifest
from llms.openvino_export import ExportPrecision, GraphExport, TraceableModel
from llms.tagger.openvino import OpenVinoTagger
from llms.tagger.token_tagger import TokenTagger
from llms.tagger.torch_tagger import TorchTagger, load_torch_tagger

_RECIPE = "1"
_MIN_AGREEMENT: dict[ExportPrecision, float] = {"float32": 0.999, "bfloat16": 0.999, "int8": 0.99}


def export_tagger(folder: Path, manifest: TaggerManifest | None, *, precision: ExportPrecision) -> Path:
    """Return a folder that `OpenVinoTagger` can run, made from a tagger once; see `GraphExport`.

    Args:
        folder: a checked model folder that needs no base.
        manifest: of a folder that `finetune_tagger` wrote.
        precision: as for `export_encoder`.

    Raises:
        EngineError: if a package is missing, the model cannot be carried over, or too few words get the tag that
            torch in float32 gives them; the message names the measured share.
        ModelFolderError: if the folder is no tagger.
    """
    return _export_of(folder, precision).make(lambda: _load(folder, manifest, precision))


def find_tagger_export(folder: Path, *, precision: ExportPrecision) -> Path | None:
    """Return the complete and current export of a tagger, or None; nothing is made."""
    return _export_of(folder, precision).find()


def _export_of(folder: Path, precision: ExportPrecision) -> GraphExport:
    return GraphExport(folder=folder, kind="tagger", precision=precision, recipe=_RECIPE)


def _load(folder: Path, manifest: TaggerManifest | None, precision: ExportPrecision) -> TraceableModel:
    tagger = load_torch_tagger(folder, manifest, device="cpu", precision="float32")
    probes = [*PROBES, *(output.text for output in (manifest.reference_outputs if manifest else ()))]
    settings = {
        "tags": list(tagger.scheme.tags),
        "is_strict": tagger.scheme.is_strict,
        "tokenizer": tagger.tokenizer.settings,
    }

    def verify(work: Path) -> tuple[dict[str, Any], str | None]:
        agreement = _agreement(tagger, OpenVinoTagger(work, settings=settings, precision=precision), probes)
        verified = {"texts": len(probes), "agreement": round(agreement, 6)}
        if agreement >= _MIN_AGREEMENT[precision]:
            return verified, None
        return verified, (
            f"in {precision}, {agreement:.4f} of the words get the tag that torch gives them in float32, at least "
            f"{_MIN_AGREEMENT[precision]} is asked for"
        )

    return TraceableModel(
        module=_as_function(tagger.model),
        inputs=lambda texts: _inputs(tagger, texts),
        examples=PROBES[:3],
        calibration=CALIBRATION,
        tokenizer=tagger.tokenizer.tokenizer,
        settings=settings,
        verify=verify,
    )


def _as_function(model: Any) -> Any:
    """Return the network as a module from tensors to outputs."""
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

    return Network()


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
