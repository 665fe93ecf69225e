"""Any sentence encoder made of known parts as an OpenVINO graph, accepted only when its vectors are close to torch's.

The whole pipeline is traced, pooling and projections included, so nothing is rebuilt by hand. Its tokenizer is taken
along: an exported encoder runs without torch and without sentence-transformers, and loads in a fraction of the time.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llms.device import has_integer_products
from llms.encoder.cosine_floor import vector_spread
from llms.encoder.openvino import OpenVinoEncoder, tokenizer_settings
from llms.encoder.sentence_encoder import SentenceEncoder, open_sentence_transformer
from llms.encoder.sentences import CALIBRATION, PROBES
from llms.encoder.tokenizer import take_tokenizer
from llms.errors import EngineError
from llms.openvino_export import ExportPrecision, GraphExport, TraceableModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


_RECIPE = "1"
_MIN_MEAN_COSINE: dict[ExportPrecision, float] = {"float32": 0.9999, "bfloat16": 0.999, "int8": 0.995}
_USUAL_SPREAD = 0.8  # of the vectors of the probes; where they lie closer together, less may be lost of a cosine
_NUM_ALONE = 4


def export_encoder(folder: Path, *, precision: ExportPrecision) -> Path:
    """Return a folder that `OpenVinoEncoder` can run, made from a sentence encoder once; see `GraphExport`.

    Args:
        folder: a checked model folder in the form of sentence-transformers.
        precision: "float32" keeps the weights, "bfloat16" halves them; "int8" also makes the products in integers,
            for which activations are calibrated on built-in sentences.

    Raises:
        EngineError: if a package is missing, if this model has parts that cannot be carried over, or if its vectors
            come out too far from torch's; the message says why and names the measured cosine.
        ModelFolderError: if the folder is no sentence encoder.
    """
    export = _export_of(folder, precision)
    return export.make(lambda: _load(export))


def find_encoder_export(folder: Path, *, precision: ExportPrecision) -> Path | None:
    """Return the complete and current export of an encoder, or None; nothing is made."""
    return _export_of(folder, precision).find()


def _export_of(folder: Path, precision: ExportPrecision) -> GraphExport:
    return GraphExport(folder=folder, kind="encoder", precision=precision, recipe=_RECIPE)


def _load(export: GraphExport) -> TraceableModel:
    model = open_sentence_transformer(export.folder, device="cpu").float().eval()
    try:
        tokenizer = take_tokenizer(model)
    except EngineError as error:
        raise export.refusal(str(error)) from error
    reference = SentenceEncoder(model, device="cpu", precision="float32")
    settings = {"dimension": reference.dimension, **tokenizer_settings(tokenizer)}

    def verify(work: Path) -> tuple[dict[str, Any], str | None]:
        verified = _compare(reference, OpenVinoEncoder(work, settings=settings, precision=export.precision))
        closeness = min(1.0, vector_spread(reference.encode(PROBES)) / _USUAL_SPREAD)
        least = round(1 - (1 - _MIN_MEAN_COSINE[export.precision]) * closeness, 6)
        if verified["not_numbers"]:
            return verified, f"{verified['not_numbers']} of {verified['texts']} of its vectors are no numbers"
        if verified["mean_cosine"] >= least:
            return verified, None
        return verified, (
            f"its {export.precision} vectors have a mean cosine of {verified['mean_cosine']:.4f} to those of torch in "
            f"float32, at least {least} is asked for{_reason(export.precision)}"
        )

    return TraceableModel(
        module=_as_function(model, dimension=reference.dimension),
        inputs=lambda texts: tokenizer.inputs(tokenizer.prepare(texts, "plain")),
        examples=PROBES[:3],
        calibration=CALIBRATION,
        tokenizer=tokenizer.tokenizer,
        settings=settings,
        verify=verify,
    )


def _reason(precision: ExportPrecision) -> str:
    if precision != "int8" or has_integer_products():
        return ""
    return " (this processor has no VNNI, so sums of 8-bit products are cut off)"


def _as_function(model: "SentenceTransformer", *, dimension: int) -> Any:
    """Return the pipeline as a module from tensors to vectors."""
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
            return vectors[:, :dimension]

    return Pipeline()


def _compare(reference: SentenceEncoder, exported: OpenVinoEncoder) -> dict[str, Any]:
    """Return how close the vectors of the built-in sentences are to torch's in float32."""
    # a few texts run through a graph of their own
    vectors = np.concatenate([exported.encode(PROBES[:_NUM_ALONE]), exported.encode(PROBES[_NUM_ALONE:])])
    cosines = (reference.encode(PROBES) * vectors).sum(axis=1)
    return {
        "texts": len(PROBES),
        "not_numbers": int(np.isnan(cosines).sum()),  # a graph may overflow, or divide by a padded text's length
        "mean_cosine": round(float(cosines.mean()), 6),
        "min_cosine": round(float(cosines.min()), 6),
    }
