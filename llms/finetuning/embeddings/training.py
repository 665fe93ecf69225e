"""Training of sentence encoders: batches of pairs or labelled texts, evaluated on held-out rankings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import EvalPrediction, set_seed
from typing_extensions import override

from llms.encoder.adapters import body_of
from llms.encoder.sentence_encoder import SentenceEncoder
from llms.finetuning.data.pair_relations import same_text
from llms.finetuning.embeddings.data import ContrastiveExample, ContrastiveRows, LossName
from llms.finetuning.embeddings.losses import cosent_loss, cosine_loss, ranking_loss, supervised_contrastive_loss
from llms.finetuning.trainer.adapted_models import apply_to_body
from llms.finetuning.trainer.methods import count_parameters, orthogonality_loss
from llms.finetuning.trainer.trainer import TrainingRun, num_training_steps, run_training, training_fingerprint

if TYPE_CHECKING:
    from llms.encoder.text_encoder import Role
    from llms.finetuning.embeddings.evaluation import EvaluatedText, Evaluator
    from llms.finetuning.embeddings.options import EmbeddingsOptions


@dataclass(frozen=True, slots=True)
class TrainedVectors:
    """The trained encoder, how it did from time to time, and how many weights were trained and are there."""

    encoder: SentenceEncoder
    history: list[dict[str, float]]
    parameters: tuple[int, int]


def train_vectors(
    encoder: SentenceEncoder,
    rows: ContrastiveRows,
    evaluator: "Evaluator",
    *,
    options: "EmbeddingsOptions",
    folder: Path,
    fingerprint: str,
) -> TrainedVectors:
    """Return the encoder trained on `rows`, with the weights that `evaluator` found best.

    Args:
        folder: where the model will be saved; checkpoints and logs lie beside it.
        fingerprint: of base and data; an interrupted training of the same goes on where it was.
    """
    set_seed(options.seed)
    model = encoder.model
    apply_to_body(model, options, num_steps=num_training_steps(options, len(rows.examples)))
    network = _Network(model, rows.loss, scale=1 / options.temperature)
    run = TrainingRun(
        network=network,
        train=rows.examples,
        held_out=evaluator.texts,
        collate=_Collator(model, rows),
        lengths=_lengths(encoder, rows.examples),
        fingerprint=training_fingerprint(options, fingerprint),
        measure=_measure(evaluator),
        metric=evaluator.metric,
    )
    parameters = count_parameters(network)
    history = run_training(run, options, folder)
    model.eval()
    for row in history:
        row.pop("held_out_loss", None)  # single texts have none
    return TrainedVectors(encoder, history, parameters)


class _Network(nn.Module):
    """Sentence encoder and loss; in evaluation the vectors come back as logits."""

    def __init__(self, encoder: SentenceTransformer, loss: LossName, *, scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss
        self.scale = scale

    @override
    def forward(
        self,
        labels: torch.Tensor,
        queries: Mapping[str, Any] | None,
        documents: Mapping[str, Any] | None,
        scores: torch.Tensor | None = None,
        excluded: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        parts = [self._vectors(features) for features in (queries, documents) if features is not None]
        vectors = torch.cat(parts)  # (texts, dimension)
        if scores is None or excluded is None:  # held-out texts, to be ranked all together
            return {"loss": torch.zeros(1, device=vectors.device), "logits": vectors}
        with torch.autocast(vectors.device.type, enabled=False):  # a cosine in bfloat16 has two digits
            loss = self._loss(parts[0], parts[1], labels, scores, excluded)
            if self.training:
                loss = loss + orthogonality_loss(body_of(self.encoder))
        return {"loss": loss, "logits": vectors}

    def _vectors(self, features: Mapping[str, Any]) -> torch.Tensor:
        vectors = self.encoder(dict(features))["sentence_embedding"]
        return nn.functional.normalize(vectors.float(), dim=-1)

    def _loss(
        self,
        queries: torch.Tensor,
        documents: torch.Tensor,
        labels: torch.Tensor,
        scores: torch.Tensor,
        excluded: torch.Tensor,
    ) -> torch.Tensor:
        if self.loss == "ranking":
            return ranking_loss(queries, documents, excluded, scale=self.scale)
        if self.loss == "cosent":
            return cosent_loss(queries, documents, scores, scale=self.scale)
        if self.loss == "cosine":
            return cosine_loss(queries, documents, scores)
        ids, texts = labels[:, 0], labels[:, 1:].T.reshape(-1)  # (pairs,), (2 * pairs,)
        both = torch.cat([queries, documents])
        return supervised_contrastive_loss(both, torch.cat([ids, ids]), texts, scale=self.scale)


class _Collator:
    """Examples to what the network takes; the tokens are those that the model's own library makes."""

    def __init__(self, model: SentenceTransformer, rows: ContrastiveRows) -> None:
        self.model = model
        self.rows = rows
        texts = (same_text(text) for example in rows.examples for text in (example.query, example.document))
        self.text_ids = {text: index for index, text in enumerate(dict.fromkeys(texts))}

    def __call__(self, examples: list[Any]) -> dict[str, Any]:
        if not isinstance(examples[0], ContrastiveExample):
            return self._evaluated(examples)
        documents = [example.document for example in examples]
        if self.rows.loss == "ranking":
            documents += [negative for example in examples for negative in example.hard_negatives]
        # one label tells nothing of a role, so these texts stand on both sides
        roles: tuple[Role, Role] = ("document", "document") if self.rows.loss == "labels" else ("query", "document")
        return {
            "labels": torch.tensor([self._labels(example) for example in examples]),
            "queries": self._tokens([example.query for example in examples], roles[0]),
            "documents": self._tokens(documents, roles[1]),
            "scores": torch.tensor([example.score for example in examples]),
            "excluded": self._excluded(examples, documents),
        }

    def _evaluated(self, texts: "list[EvaluatedText]") -> dict[str, Any]:
        by_role = {role: [text for text in texts if text.role == role] for role in ("query", "document")}
        tokens = {
            role: self._tokens([text.text for text in of_role], cast("Role", role)) if of_role else None
            for role, of_role in by_role.items()
        }
        rows = [text.row for of_role in by_role.values() for text in of_role]  # the order of the vectors
        return {"labels": torch.tensor(rows), "queries": tokens["query"], "documents": tokens["document"]}

    def _labels(self, example: ContrastiveExample) -> list[int]:
        return [example.label, *(self.text_ids[same_text(text)] for text in (example.query, example.document))]

    def _tokens(self, texts: list[str], role: "Role") -> dict[str, Any]:
        prompt = _prompt(self.model, role)
        return cast("dict[str, Any]", self.model.preprocess(texts, prompt=prompt or None, task=role))

    def _excluded(self, examples: Sequence[ContrastiveExample], documents: Sequence[str]) -> torch.Tensor:
        """Return (queries, documents): true where a document answers a query and is not the one of its example."""
        if self.rows.loss != "ranking":
            return torch.zeros(len(examples), len(documents), dtype=torch.bool)
        excluded = torch.zeros(len(examples), len(documents), dtype=torch.bool)
        keys = [same_text(document) for document in documents]
        for row, example in enumerate(examples):
            answers = self.rows.known.answers_to(example.query) | {same_text(example.query), keys[row]}
            excluded[row] = torch.tensor([column != row and key in answers for column, key in enumerate(keys)])
        return excluded


def _prompt(model: SentenceTransformer, role: "Role") -> str:
    """Return what the model's library puts before a text of this role."""
    names = ("query",) if role == "query" else ("document", "passage", "corpus")
    prompts = model.prompts or {}
    return next((prompts[name] or "" for name in (*names, model.default_prompt_name) if name in prompts), "")


def _lengths(encoder: SentenceEncoder, examples: Sequence[ContrastiveExample]) -> list[int]:
    """Return the tokens of each example's longest text, by which examples of like length share a batch."""
    queries = encoder.prepare([example.query for example in examples], "query")
    documents = encoder.prepare([example.document for example in examples], "document")
    return [max(a.num_tokens, b.num_tokens) for a, b in zip(queries, documents, strict=True)]


def _measure(evaluator: "Evaluator") -> Callable[[EvalPrediction], dict[str, float]]:
    def measure(prediction: EvalPrediction) -> dict[str, float]:
        vectors, indices = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        in_place = np.zeros_like(vectors)
        in_place[indices] = vectors
        return evaluator.measure(in_place)

    return measure
