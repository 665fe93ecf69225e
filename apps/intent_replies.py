"""Replies of the intent model to rows that it had not learnt: what the answer router is fitted on."""

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.settings import Settings
from apps.training import classifier_options
from chains.customer_service import HeldOutIntent
from llms import LocalClassifier
from llms.classifier import HeldOutReplies, collect_replies, load_held_out, text_digest
from llms.files import replace_text
from llms.finetuning import ClassifierOptions, finetune_classifier
from llms.finetuning.data import LabelledText, LabelledTexts

_REPLIES_NAME = "router_replies.json"
_ENOUGH = 400  # unseen rows; with fewer, every row becomes one
_NUM_FOLDS = 4
_LEAST_ROWS = 2 * _NUM_FOLDS  # of an intent; one with fewer is always learnt


class _KeptReplies(BaseModel):
    """Replies of models that each learnt other rows, and what these models were made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    replies: HeldOutReplies


def unseen_intents(
    settings: Settings, rows: Sequence[LabelledText], classifier: LocalClassifier
) -> list[HeldOutIntent]:
    """Return rows, and what the intent model says of them where it has not learnt them.

    These are the rows held out of its training where they are enough. Else it is trained four times more, each time
    without another quarter of the rows; what these models say is kept until rows or options change.
    """
    replies = load_held_out(classifier.folder)
    if len(replies.rows) < min(_ENOUGH, len(rows)):
        options = classifier_options(settings, "intent", show_progress=False)
        if classifier.manifest is not None:  # what "auto" chose
            options = replace(options, method=cast("Any", classifier.manifest.method))
        replies = _cross_fitted(settings, rows, options)
    texts = {text_digest(row.text): row.text for row in rows}
    return [
        HeldOutIntent(texts[reply.text_sha256], reply.label, reply.as_classification())
        for reply in replies.rows
        if reply.text_sha256 in texts
    ]


def _cross_fitted(settings: Settings, rows: Sequence[LabelledText], options: ClassifierOptions) -> HeldOutReplies:
    path = settings.models_folder / _REPLIES_NAME
    origin = _origin(rows, options)
    try:
        kept = _KeptReplies.model_validate_json(path.read_text(encoding="utf-8"))
        if kept.origin == origin:
            return kept.replies
    except (OSError, UnicodeDecodeError, ValidationError):
        pass  # asked anew below
    replies = HeldOutReplies(rows=tuple(reply for part in _ask_folds(settings, rows, options) for reply in part.rows))
    replace_text(path, _KeptReplies(origin=origin, replies=replies).model_dump_json(indent=1) + "\n")
    return replies


def _ask_folds(
    settings: Settings, rows: Sequence[LabelledText], options: ClassifierOptions
) -> Iterator[HeldOutReplies]:
    folds = _deal(rows)
    for fold in range(_NUM_FOLDS):
        asked = [row for row, own in zip(rows, folds, strict=True) if own == fold]
        learnt = [row for row, own in zip(rows, folds, strict=True) if own != fold]
        if not asked:
            continue
        with tempfile.TemporaryDirectory(dir=settings.models_folder, prefix=".intent-fold-") as folder:
            target = Path(folder) / "intent"
            finetune_classifier(LabelledTexts(learnt), target, options)
            classifier = LocalClassifier(target, engine="torch", device=settings.models.device)
            texts = [row.text for row in asked]
            yield collect_replies(texts, [row.label for row in asked], classifier.batch(texts))


def _deal(rows: Sequence[LabelledText]) -> list[int]:
    """Return the fold of each row, -1 where it is always learnt; equal texts are in one fold."""
    by_label: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_label[row.label].add(row.text.casefold())
    fold_of: dict[str, int] = {}
    for texts in by_label.values():
        new = sorted(texts - set(fold_of), key=text_digest)
        fold_of |= {text: turn % _NUM_FOLDS if len(texts) >= _LEAST_ROWS else -1 for turn, text in enumerate(new)}
    return [fold_of[row.text.casefold()] for row in rows]


def _origin(rows: Sequence[LabelledText], options: ClassifierOptions) -> str:
    made_from = {"rows": [[row.text, row.label] for row in rows], "options": asdict(options)}
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
