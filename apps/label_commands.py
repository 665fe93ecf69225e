"""Commands of `tunechain label`: suggestions of texts to label, and labelling in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from apps.label_files import LabelColumns
    from apps.label_session import LabelSession
    from llms.finetuning.labelling import RememberingEncoder, Suggestion


# what the commands need is imported inside them: `tunechain --help` must answer at once
labelling = typer.Typer(no_args_is_help=True, help="Choose the texts whose labels teach most, and label them.")

Unlabelled = Annotated[Path, typer.Option(help="CSV, JSONL or Parquet file of texts; labels in it are ignored.")]
TextColumn = Annotated[str, typer.Option(help="Name of the column of texts.")]
LabelColumn = Annotated[str, typer.Option(help="Name of the column of labels.")]
Base = Annotated[str, typer.Option(help="Sentence encoder: folder, hub id, or all-MiniLM-L6-v2.")]
NewLabel = Annotated[list[str] | None, typer.Option(help="A label that may lack examples; may be given often.")]
Seed = Annotated[int, typer.Option(help="The same files and seed give the same texts.")]


@labelling.command()
def suggest(
    unlabelled: Unlabelled,
    out: Annotated[Path, typer.Option(help="CSV file for the texts, with an empty cell for each label.")],
    labelled: Annotated[
        Path | None, typer.Option(help="File of labelled texts; rows without a label are passed over.")
    ] = None,
    num_rows: Annotated[int, typer.Option("--num-rows", "-n", min=1, help="How many texts.")] = 50,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    new_label: NewLabel = None,
    base: Base = "all-MiniLM-L6-v2",
    seed: Seed = 0,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per text on standard output, nothing else.")
    ] = False,
) -> None:
    """Write the texts whose labels would teach most into a file, each with a guess and the reason for its choice."""
    from dataclasses import asdict

    from rich.text import Text

    from apps.console import errors, output, print_json, print_rejected
    from apps.label_files import LabelColumns, read_labelled, read_unlabelled, refuse_labels, write_suggestions
    from llms.finetuning import suggest_rows

    columns = LabelColumns(text=text_column, label=label_column)
    refuse_labels(out, columns)
    texts, rejected = read_unlabelled(unlabelled, columns)
    print_rejected(rejected, str(unlabelled))
    rows, rejected = read_labelled(labelled, columns) if labelled else ([], [])
    print_rejected(rejected, str(labelled))
    encoder = _open_encoder(base, [row.text for row in rows] + texts)
    suggestions = suggest_rows(
        rows, texts, num_rows=num_rows, encoder=encoder, seed=seed, labels=tuple(new_label or ())
    )
    write_suggestions(suggestions, out, columns)
    if as_json:
        for suggestion in suggestions:
            print_json(asdict(suggestion))
    elif suggestions:
        output.print(Text(f"{len(suggestions)} texts in {out}; fill in the column {label_column!r}"), soft_wrap=True)
    if not suggestions:
        errors.print(Text("nothing to suggest: every text is labelled, or nearly equal to one that is"))


@labelling.command()
def loop(
    unlabelled: Unlabelled,
    labelled: Annotated[Path, typer.Option(help="CSV file that takes every answer at once; made if it is not there.")],
    num_rows: Annotated[
        int, typer.Option("--num-rows", "-n", min=1, help="Answers before texts are chosen anew.")
    ] = 20,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    new_label: NewLabel = None,
    base: Base = "all-MiniLM-L6-v2",
    seed: Seed = 0,
) -> None:
    """Label text after text: Enter accepts the guess, a number chooses, anything else is a label.

    Alone on a line, s skips the text, u takes the last answer back, and q quits. A label that is a number or one of
    these letters is typed behind a =, as in =1. Every answer is on the disk before the next text is shown.
    """
    from apps.console import errors, print_rejected
    from apps.label_files import LabelColumns, LabelFile, read_labelled, read_unlabelled
    from apps.label_session import LabelSession
    from llms.finetuning import suggest_rows
    from llms.finetuning.data import LabelledText

    columns = LabelColumns(text=text_column, label=label_column)
    texts, rejected = read_unlabelled(unlabelled, columns)
    print_rejected(rejected, str(unlabelled))
    file = LabelFile.open(labelled, columns)
    rows, rejected = read_labelled(labelled, columns)
    print_rejected(rejected, str(labelled))
    encoder = _open_encoder(base, [row.text for row in rows] + texts)
    named = tuple(new_label or ())

    def next_batch(known: Sequence[LabelledText], remaining: Sequence[str]) -> "list[Suggestion]":
        with errors.status("choosing the next texts"):  # seconds, where there are thousands
            return suggest_rows(known, remaining, num_rows=num_rows, encoder=encoder, seed=seed, labels=named)

    remaining = list(dict.fromkeys(texts))  # a text that was skipped must not come again
    _run(LabelSession(file=file, labelled=rows, remaining=remaining, suggest=next_batch, named=named), columns)


def _run(session: "LabelSession", columns: "LabelColumns") -> None:
    from rich.text import Text

    from apps.console import output
    from apps.label_session import choose_label

    while (suggestion := session.current()) is not None:
        choices = session.choices()
        _show(suggestion, choices, num_labelled=len(session.labelled))
        typed = _ask(suggestion.predicted)
        if typed is None or typed.strip() == "q":
            break
        remark = ""
        if typed.strip() == "s":
            session.skip()
        elif typed.strip() == "u":
            remark = "" if session.undo() else "there is nothing to take back"
        else:
            label, remark = choose_label(typed, choices, session.labels, guess=suggestion.predicted)
            if label:
                session.answer(label)
        if remark:
            output.print(Text(f"  {remark}", style="yellow"), soft_wrap=True)
    else:
        output.print("nothing is left to label")
    _say_goodbye(session, columns)


def _show(suggestion: "Suggestion", choices: Sequence[str], *, num_labelled: int) -> None:
    from rich.text import Text

    from apps.console import output

    output.print()
    output.print(Text(f"{num_labelled} labelled · {suggestion.reason}", style="dim"), soft_wrap=True)
    output.print(Text(suggestion.text, style="bold"), soft_wrap=True)
    if choices:
        numbered = "  ".join(f"{number} {label}" for number, label in enumerate(choices, start=1))
        output.print(Text(numbered, style="cyan"), soft_wrap=True)


def _ask(guess: str | None) -> str | None:
    """Return what is typed, or None at the end of input."""
    import sys

    from rich.text import Text

    from apps.console import output

    output.print(Text(f"label [{guess}]: " if guess else "label: "), end="", soft_wrap=True)
    output.file.flush()
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not sys.stdin.isatty():
        output.print()  # nobody pressed Enter here
    return line.rstrip("\r\n") if line else None


def _say_goodbye(session: "LabelSession", columns: "LabelColumns") -> None:
    from rich.text import Text

    from apps.console import output

    path = session.file.path
    output.print(Text(f"{session.num_new} new labels, {len(session.labelled)} in all, in {path}"), soft_wrap=True)
    names = "".join(
        f" --{kind}-column {name}" for kind, name in (("text", columns.text), ("label", columns.label)) if name != kind
    )
    output.print(Text(f"train with: tunechain finetune classifier --train {path}{names} --out MODEL"), soft_wrap=True)


def _open_encoder(base: str, texts: Sequence[str]) -> "RememberingEncoder":
    """Return the encoder with the vectors of all texts, which takes a while for many."""
    from apps.console import errors
    from llms import choose_device, resolve_model
    from llms.encoder import load_encoder
    from llms.finetuning.labelling import RememberingEncoder

    encoder = RememberingEncoder(load_encoder(resolve_model(base), device=choose_device("auto")))
    encoder.encode(texts, show_progress=errors.is_terminal)
    return encoder
