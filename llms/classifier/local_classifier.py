"""`LocalClassifier`: texts to labels with calibrated probabilities, as a LangChain runnable."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from typing_extensions import override

from llms.arrays import FloatArray
from llms.batch_runnable import BatchRunnable
from llms.call_gathering import CallGatherer
from llms.classifier.head import ClassifierHead, ProbabilityModel
from llms.classifier.results import Classification, Explanation
from llms.encoder.backend import EmbeddingEngine, EmbeddingPrecision, asks_openvino, check_encoder_options
from llms.encoder.trained_folders import open_trained_encoder, resolve_trained
from llms.errors import OptionValueError, UnsupportedOptionError
from llms.manifest import MANIFEST_NAME, ClassifierManifest, is_near, load_manifest, refuse_other_outputs
from llms.texts.checks import check_text

if TYPE_CHECKING:
    from llms.device import Precision
    from llms.encoder.sentence_encoder import SentenceEncoder


# how far a probability may move between the machine and precision of the training and those of the use
_TOLERANCES = {"int8": 0.25}
_TOLERANCE = 0.1


class LocalClassifier(BatchRunnable[Classification]):
    """A fine-tuned text classifier: one text or many in, a label with its probability out.

    Two kinds of folders work: those written by `finetune_classifier` (calibrated, and they know what lies
    outside their training texts) and any transformers sequence classification model (softmax as it is).

    `batch` runs the texts through the model together, grouped by length; `max_concurrency` has no meaning
    here. The model is loaded at the first call, and asked once more what it said of a few texts when it was saved.

    Args:
        model: folder or hub id.
        min_probability: below it a reply comes with `accepted=False`; default: what training found.
        engine: "torch", "openvino" (several times faster on a CPU), or "auto", which takes OpenVINO where the model
            was exported to it already.
        device: "auto", "cpu", "cuda", ...
        precision: "auto" uses bfloat16 products where the hardware has them; "int8" is OpenVINO's.
        batch_size: texts per forward pass.
        allow_download: fetch a hub id that is not in the local cache.

    Raises:
        ModelNotFoundError: at construction, if the model is not on this machine.
        ModelFolderError: if the folder changed since training (at construction) or holds no classifier (at
            construction or at the first call).
        UnsupportedOptionError: at construction, for an engine that cannot run this kind of folder.
    """

    _kind = "a classifier"

    def __init__(
        self,
        model: str | Path,
        *,
        min_probability: float | None = None,
        engine: EmbeddingEngine = "auto",
        device: str = "auto",
        precision: EmbeddingPrecision = "auto",
        batch_size: int = 64,
        allow_download: bool = False,
    ) -> None:
        check_encoder_options(engine=engine, precision=precision, device=device)
        self.folder = resolve_trained(model, allow_download=allow_download)
        self.manifest = load_manifest(self.folder) if (self.folder / MANIFEST_NAME).exists() else None
        trained_minimum = self.manifest.min_probability if self.manifest else 0.0
        self.min_probability = trained_minimum if min_probability is None else min_probability
        self.engine = engine
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        # single texts of several threads are classified together; batches are large enough by themselves
        self._gatherer: CallGatherer[str, Classification] = CallGatherer(self._batch)
        if self.manifest is None and asks_openvino(engine, precision):
            msg = f"{self.folder} was not trained here, such classifiers run on torch; leave engine and precision out"
            raise UnsupportedOptionError(msg)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label the model can answer with."""
        return self.manifest.labels if self.manifest else self.head.labels

    @override
    def _batch(self, texts: Sequence[str]) -> list[Classification]:
        return self._replies(*self.head.predict(list(texts), batch_size=self.batch_size))

    @override
    def _one(self, text: str) -> Classification:
        return self._gatherer.call([text])[0]

    def explain(
        self, text: str, *, label: str | None = None, num_steps: int = 32, num_examples: int = 3
    ) -> Explanation:
        """Return which words of a text speak for a label and against it, and the training texts nearest to it.

        Args:
            label: the label to explain; default: the one that `invoke` answers with.
            num_steps: points of the integral along which gradients are taken.

        Raises:
            UnsupportedOptionError: for a model that was not trained here, or if captum is not installed.
            OptionValueError: if the model has no such label.
        """
        head = self.head
        if not isinstance(head, ClassifierHead):
            msg = f"{self.folder} was not trained here, only such classifiers explain themselves; fine-tune it first"
            raise UnsupportedOptionError(msg)
        if label is not None and label not in self.labels:
            msg = f"there is no label {label!r}; the model has {', '.join(self.labels[:20])}"
            raise OptionValueError(msg)
        reply = self.invoke(text)
        chosen = label or reply.label
        from llms.classifier.explaining import find_near_examples, weigh_words

        encoder = self._torch_encoder
        words, gap = weigh_words(head, encoder, check_text(text), self.labels.index(chosen), num_steps=num_steps)
        examples = find_near_examples(head, encoder.encode([text])[0], num_examples=num_examples)
        return Explanation(
            text=text,
            label=chosen,
            probability=reply.probabilities[chosen],
            words=words,
            examples=examples,
            convergence_gap=gap,
        )

    @functools.cached_property
    def _torch_encoder(self) -> "SentenceEncoder":
        """The encoder with gradients, whatever engine answers."""
        from llms.encoder.sentence_encoder import SentenceEncoder

        head = self.head
        if isinstance(head, ClassifierHead) and isinstance(head.encoder, SentenceEncoder):
            return head.encoder
        if self.manifest is None:
            msg = f"{self.folder} was not trained here"
            raise UnsupportedOptionError(msg)
        encoder = open_trained_encoder(
            self.folder, self.manifest, engine="torch", device="cpu", precision=_torch_precision(self.precision)
        )
        return cast("SentenceEncoder", encoder)

    def reply_from_vectors(self, texts: Sequence[str], vectors: FloatArray) -> list[Classification]:
        """Return what `batch` does, from vectors (texts, dimension) that this model's encoder made of the texts.

        Raises:
            UnsupportedOptionError: for a model that was not trained here, which has no such vectors.
        """
        if not isinstance(self.head, ClassifierHead):
            msg = f"{self.folder} was not trained here and takes no vectors; call batch"
            raise UnsupportedOptionError(msg)
        return self._replies(*self.head.predict_from_vectors(texts, vectors))

    def _replies(self, probabilities: FloatArray, in_scope: FloatArray) -> list[Classification]:
        return [self._reply(row, float(scope)) for row, scope in zip(probabilities, in_scope, strict=True)]

    def _reply(self, row: FloatArray, in_scope: float) -> Classification:
        order = np.argsort(-row, kind="stable")
        probability = float(row[order[0]])
        ahead = probability - float(row[order[1]]) if len(order) > 1 else probability
        min_in_scope = self.manifest.min_in_scope if self.manifest else 0.0
        # where several labels may apply, a text with none is an answer too
        is_sure = self.head.is_multi_label or probability >= self.min_probability
        return Classification(
            label=self.labels[int(order[0])],
            probability=probability,
            probabilities={self.labels[int(i)]: float(row[i]) for i in order},
            margin=max(0.0, ahead),
            labels=tuple(self.labels[int(i)] for i in order if row[i] >= self._min_label_probability),
            in_scope=in_scope,
            accepted=is_sure and in_scope >= min_in_scope and not self._is_outside(int(order[0])),
        )

    def _is_outside(self, index: int) -> bool:
        return self.manifest is not None and self.labels[index] == self.manifest.outside_label

    @property
    def _min_label_probability(self) -> float:
        """From which probability on a label belongs to `Classification.labels`; above 1 for none."""
        if self.head.is_multi_label:
            return self.min_probability or 0.5
        return self.manifest.calibration.get("label_set_min_probability", 2.0) if self.manifest else 2.0

    @functools.cached_property
    def head(self) -> ProbabilityModel:
        """What turns texts into probabilities; loaded at the first use."""
        if self.manifest is None:
            from llms.classifier.sequence_classifier import SequenceClassifier
            from llms.device import choose_device

            device = choose_device(self.device)
            return SequenceClassifier(self.folder, device=device, precision=_torch_precision(self.precision))
        encoder = open_trained_encoder(
            self.folder, self.manifest, engine=self.engine, device=self.device, precision=self.precision
        )
        head = ClassifierHead.load(self.folder, manifest=self.manifest, encoder=encoder)
        _check_outputs(head, self.manifest, self.folder, _TOLERANCES.get(self.precision, _TOLERANCE))
        return head


def _check_outputs(head: ClassifierHead, manifest: ClassifierManifest, folder: Path, tolerance: float) -> None:
    outputs = manifest.reference_outputs
    if not outputs:
        return
    probabilities, _ = head.predict([output.text for output in outputs], batch_size=len(outputs))
    for output, row in zip(outputs, probabilities, strict=True):
        found = float(row[head.labels.index(output.label)])
        if not is_near(found, output.probability, tolerance=tolerance):
            reference = f"{output.label!r} had the probability {output.probability:.3f} for {output.text[:60]!r}"
            refuse_other_outputs(folder, reference, f"{found:.3f}")


def _torch_precision(precision: EmbeddingPrecision) -> "Precision":
    return "auto" if precision == "int8" else precision
