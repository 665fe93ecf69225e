"""`LocalTagger`: texts to labelled spans with calibrated probabilities, as a LangChain runnable."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from llms.batch_runnable import BatchRunnable
from llms.encoder.backend import EmbeddingEngine, EmbeddingPrecision, check_encoder_options
from llms.encoder.trained_folders import resolve_trained
from llms.errors import ModelFolderError, OptionValueError
from llms.manifest import MANIFEST_NAME, TaggerManifest, load_manifest_of, refuse_other_outputs
from llms.tagger.results import Tagging
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import TokenTagger, find_spans


class LocalTagger(BatchRunnable[Tagging]):
    """A fine-tuned tagger: one text or many in, labelled spans with their probabilities out.

    Two kinds of folders work: those written by `finetune_tagger`, and any transformers token classification model
    whose outputs are named in BIO, IOB1 or IO (probabilities as they are). Texts of any length are read whole, in
    overlapping windows. A span begins and ends with a word, and the text between its offsets is left as it was.

    `batch` runs the texts through the model together, grouped by length; `max_concurrency` has no meaning
    here. The model is loaded at the first call, and asked once more what it found in a few texts when it was saved.

    Args:
        model: folder or hub id.
        min_probability: spans below it are left out; by default none is.
        engine: "torch", "openvino" (faster on a CPU), or "auto", which takes OpenVINO where the model was exported
            to it already.
        device: "auto", "cpu", "cuda", ...
        precision: "auto" uses bfloat16 products where the hardware has them; "int8" is OpenVINO's.
        batch_size: windows per forward pass.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder changed since training or its outputs are no tags (at construction), or
            holds no tagger (at the first call).
        UnsupportedOptionError: at the first call, for an engine that cannot run this kind of folder.
    """

    _kind = "a tagger"

    def __init__(
        self,
        model: str | Path,
        *,
        min_probability: float = 0.0,
        engine: EmbeddingEngine = "auto",
        device: str = "auto",
        precision: EmbeddingPrecision = "auto",
        batch_size: int = 64,
        allow_download: bool = False,
    ) -> None:
        check_encoder_options(engine=engine, precision=precision, device=device)
        if batch_size < 1:
            msg = f"batch_size must be at least 1, got {batch_size}"
            raise OptionValueError(msg)
        self.folder = resolve_trained(model, allow_download=allow_download)
        has_manifest = (self.folder / MANIFEST_NAME).exists()
        self.manifest = load_manifest_of(self.folder, TaggerManifest) if has_manifest else None
        self._labels = self.manifest.labels if self.manifest else _foreign_labels(self.folder)
        self.min_probability = min_probability
        self.engine = engine
        self.device = device
        self.precision = precision
        self.batch_size = batch_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label a span can have, in alphabetical order."""
        return self._labels

    @override
    def _batch(self, texts: Sequence[str]) -> list[Tagging]:
        temperature = self.manifest.temperature if self.manifest else 1.0
        network = self._network
        taggings = []
        for text, words in zip(texts, network.word_logits(texts, batch_size=self.batch_size), strict=True):
            spans = find_spans(network.scheme, words, temperature=temperature)
            sure = tuple(span for span in spans if span.probability >= self.min_probability)
            taggings.append(Tagging(text=text, spans=sure))
        return taggings

    @functools.cached_property
    def _network(self) -> TokenTagger:
        from llms.tagger.backend import open_tagger

        network = open_tagger(
            self.folder, self.manifest, engine=self.engine, device=self.device, precision=self.precision
        )
        if self.manifest is not None:
            _check_outputs(network, self.manifest, self.folder)
        return network


def _check_outputs(network: TokenTagger, manifest: TaggerManifest, folder: Path) -> None:
    outputs = manifest.reference_outputs
    for output, words in zip(outputs, network.word_logits([output.text for output in outputs]), strict=True):
        found = tuple((span.start, span.end, span.label) for span in find_spans(network.scheme, words))
        if found != output.spans:
            refuse_other_outputs(folder, f"in {output.text[:60]!r} it found {output.spans}", str(found))


def _foreign_labels(folder: Path) -> tuple[str, ...]:
    """Return the labels of a model that was not trained here, or refuse one whose outputs are no tags."""
    try:
        names = json.loads((folder / "config.json").read_text("utf-8")).get("id2label") or {}
        ordered = [str(names[key]) for key in sorted(names, key=int)]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        msg = f"{folder / 'config.json'} cannot be read: {error}; is the copy complete?"
        raise ModelFolderError(msg) from error
    try:
        return TagScheme.of_foreign(ordered).labels
    except ModelFolderError as error:
        msg = f"{folder} holds no tagger: {error}"
        raise ModelFolderError(msg) from error
