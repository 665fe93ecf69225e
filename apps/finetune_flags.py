"""Flags of `tunechain finetune`: one for each key of a recipe, under the same name."""

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import typer

DATA, TRAINING, METHOD, RUNNING, DECISIONS = "Data", "Training", "Method", "Running", "Decisions"

# the values stand here once more, since the libraries that define them are too slow for --help; a test compares them
_Method = Literal["full", "head", "lora", "dora", "adalora", "ia3", "adapter", "prefix", "auto"]
_Tracker = Literal["tensorboard", "wandb", "none"]
_Precision = Literal["auto", "float32", "bfloat16"]
_SplitBy = Literal["label", "group", "time"]
_Loss = Literal["auto", "ranking", "cosent", "cosine", "bce", "listwise"]

C = TypeVar("C", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Flag:
    """A key of a recipe on the command line; without a default, so that a recipe's value stands unless it is given.

    Attributes:
        help: ends with the default in parentheses, as square brackets are markup in the terminal.
    """

    name: str
    kind: Any
    panel: str
    help: str

    @property
    def parameter(self) -> inspect.Parameter:
        """What typer makes the flag of."""
        option = typer.Option(help=self.help, rich_help_panel=self.panel, show_default=False)
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.kind | None, option],
        )


FLAGS = (
    Flag("train", Path, DATA, "What is learnt from: CSV, JSON, Parquet; CoNLL for taggers; logs for chat."),
    Flag("test", Path, DATA, "Rows for the figures. Without: a fifth of the rows, kept apart."),
    Flag("text_column", str, DATA, "Column of the texts. (text)"),
    Flag("label_column", str, DATA, "Column of the labels. (label). Embeddings: learn from labels, not pairs."),
    Flag("multi_label", bool, DATA, "A cell of labels holds any number of them."),
    Flag("label_separator", str, DATA, "What divides the labels of a cell. (|)"),
    Flag("group_column", str, DATA, "Rows of one group stay together, such as those of an author."),
    Flag("time_column", str, DATA, "When a row was written, in ISO 8601."),
    Flag("token_separator", str, DATA, "Taggers: what joins tokens; found out by itself."),
    Flag("tag_names", str, DATA, "Taggers: what tags that are numbers mean, from 0 on: O,B-PER,I-PER."),
    Flag("query_column", str, DATA, "Embeddings, rerankers: column of the queries. (query)"),
    Flag("document_column", str, DATA, "Embeddings, rerankers: column of the documents. (document)"),
    Flag("negative_column", str, DATA, "Embeddings, rerankers: column of wrong documents. (negative)"),
    Flag("score_column", str, DATA, "Embeddings, rerankers: how well they belong together, 0 to 1. (score or label)"),
    Flag("split_by", _SplitBy, DATA, "How rows are held out: a share of each label, whole groups, or the latest."),
    Flag("held_out_share", float, DATA, "Share of the training rows that decide when to stop. (0.1)"),
    Flag("epochs", int, TRAINING, "Passes over the rows at most."),
    Flag("batch_size", int, TRAINING, "Examples per step."),
    Flag("gradient_accumulation", int, TRAINING, "Passes a batch is cut into, to save memory. (1)"),
    Flag("gradient_checkpointing", bool, TRAINING, "Compute activations twice instead of storing them."),
    Flag("learning_rate", float, TRAINING, "Peak rate; default: the method's own."),
    Flag("patience", int, TRAINING, "Evaluations without improvement before training stops."),
    Flag("max_tokens", int, TRAINING, "Longer texts are cut; longer conversations are refused."),
    Flag("loss", _Loss, TRAINING, "Embeddings: auto, ranking, cosent, cosine. Rerankers: bce, listwise."),
    Flag("temperature", float, TRAINING, "Embeddings: what cosines are divided by. (0.05)"),
    Flag("hard_negatives", int, TRAINING, "Embeddings: near documents that are no answers, mined for each pair. (0)"),
    Flag("max_negative_similarity", float, TRAINING, "Embeddings: nearer documents are taken for answers. (0.95)"),
    Flag("num_negatives", int, TRAINING, "Rerankers: wrong documents for each pair. (4)"),
    Flag("learn_names", bool, TRAINING, "Classifiers: learn each label's name as an example, too."),
    Flag(
        "contrastive_epochs", int, TRAINING, "Classifiers with few examples: passes that first teach what is alike. (0)"
    ),
    Flag("outside_label", str, TRAINING, "Classifiers: label of rows that belong to none of the others."),
    Flag("augment", int, TRAINING, "Classifiers: copies of each row with typing errors. (0)"),
    Flag("packing", bool, TRAINING, "Chat: several short conversations in one row."),
    Flag("base", str, METHOD, "Model to start from: folder or hub id. (all-MiniLM-L6-v2); chat needs one."),
    Flag("method", _Method, METHOD, "Which weights are trained; auto asks held-out rows what pays. (full)"),
    Flag("rank", int, METHOD, "Size of what the method adds; default: its own."),
    Flag(
        "train_word_vectors", bool, METHOD, "Also the vectors of words; default: if they are not most of the weights."
    ),
    Flag("keep_adapter", bool, METHOD, "Save what was learnt beside the base: a small folder."),
    Flag("seed", int, RUNNING, "The same seed and rows give the same model. (0)"),
    Flag("device", str, RUNNING, "auto, cpu, cuda, ... (auto)"),
    Flag("precision", _Precision, RUNNING, "Of products. (auto)"),
    Flag("checkpoint_steps", int, RUNNING, "Steps between checkpoints; default: once an epoch."),
    Flag("resume", bool, RUNNING, "Go on where the same training was cut off. (resume)"),
    Flag("track", _Tracker, RUNNING, "Where losses are logged while it runs. (tensorboard)"),
    Flag("logs", Path, RUNNING, "Folder of TensorBoard's files. (runs/ beside the model)"),
    Flag("keep_examples", bool, DECISIONS, "Classifiers: keep training texts, to show the nearest. (keep)"),
    Flag("accepted_accuracy", float, DECISIONS, "Classifiers: share of accepted answers that shall be right. (0.95)"),
    Flag("accepted_confidence", float, DECISIONS, "Classifiers: how sure that shall be, 0.5 to 1; 0: as measured. (0)"),
    Flag("label_set_confidence", float, DECISIONS, "Classifiers: how often the label set holds the right one. (0.95)"),
)


def with_flags(command: C) -> C:
    """Return `command` with `FLAGS` in the place of its `**flags`, as far as typer can see."""
    signature = inspect.signature(command)
    kept = [part for part in signature.parameters.values() if part.kind is not inspect.Parameter.VAR_KEYWORD]
    cast("Any", command).__signature__ = signature.replace(parameters=[*kept, *(flag.parameter for flag in FLAGS)])
    return command


def describe_command(task: str | None, flags: Mapping[str, Any]) -> str:
    """Return the command that was typed, without the folders of this machine.

    Example:
        >>> describe_command("classifier", {"train": Path("/home/ada/rows.csv"), "epochs": 2, "resume": False})
        'tunechain finetune classifier --train rows.csv --epochs 2 --no-resume'
    """
    words = ["tunechain", "finetune", *([task] if task else [])]
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", _without_folders(value)]
    return shlex.join(words)


def _without_folders(value: object) -> str:
    return Path(str(value)).name if Path(str(value)).is_absolute() else str(value)
