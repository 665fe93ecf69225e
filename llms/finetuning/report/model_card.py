"""Model cards: a `README.md` beside the weights, for people and for the Hugging Face hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from llms.files import replace_text
from llms.finetuning.report.report import Task, TrainingReport
from llms.finetuning.report.wording import (
    TASK_WORDS,
    describe_duration,
    describe_limits,
    describe_metric,
    describe_parameters,
    describe_size,
    describe_thresholds,
    format_figure,
    is_lower_better,
    plain_text,
    show_base_model,
)

CARD_NAME = "README.md"
_PIPELINE_TAGS: dict[Task, str] = {
    "classifier": "text-classification",
    "tagger": "token-classification",
    "chat": "text-generation",
    "embeddings": "sentence-similarity",
    "reranker": "text-ranking",
}
# names the hub knows; others would be refused there
_HUB_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "weighted_f1": "f1",
    "samples_f1": "f1",
    "micro_precision": "precision",
    "micro_recall": "recall",
    "perplexity": "perplexity",
}
_LOADING: dict[Task, str] = {
    "classifier": """\
from llms import LocalClassifier

classifier = LocalClassifier("path/to/this/folder")
reply = classifier.invoke("your text")
print(reply.label, reply.probability, reply.accepted)""",
    "tagger": """\
from llms import LocalTagger

tagger = LocalTagger("path/to/this/folder")
print(tagger.invoke("your text"))""",
    "chat": """\
from llms import LocalChatModel

model = LocalChatModel(model="path/to/this/folder")
print(model.invoke("your question").text)""",
    "embeddings": """\
from llms import LocalEmbeddings

embeddings = LocalEmbeddings("path/to/this/folder")
vectors = embeddings.embed_documents(["your text"])""",
    "reranker": """\
from langchain_core.documents import Document
from llms import LocalReranker

reranker = LocalReranker("path/to/this/folder")
documents = [Document("one text"), Document("another text")]
print(reranker.compress_documents(documents, "your question"))""",
}
# what is markup anywhere, what is so at the start of a line, and the middle of what becomes a link by itself
_MARKUP = re.compile(r"([\\`*_\[\]|~$@#]|^[+-]|:(?=//)|(?<=\bwww)\.)", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def write_model_card(
    report: TrainingReport, folder: Path, *, licence: str | None = None, languages: Sequence[str] = ()
) -> Path:
    """Write `README.md` into a model's folder and return its path; one that is there is replaced.

    The front matter is what the Hugging Face hub reads. Texts from data and options (labels, names, commands) are
    shown as they are and cannot become markup.

    Args:
        report: of the training.
        folder: of the model.
        licence: an identifier the hub knows, such as "apache-2.0"; it depends on the base model and on the rows, so
            it is never guessed.
        languages: ISO 639-1 codes of the languages it was measured in, such as "en".

    Raises:
        ModelNotFoundError: if there is no such folder.
    """
    parts = [
        _front_matter(report, licence, languages),
        _introduction(report),
        _section("How to load it", [_fence(_LOADING[report.task], "python")]),
        _section("Figures", _figures(report)),
        _section("Calibration and thresholds", _thresholds(report)),
        _section("Data", _data(report)),
        _section("Method", _method(report)),
        _section("Limits", _bullets(describe_limits(report, languages_known=bool(languages)))),
        _section("How it was made", _origin(report)),
    ]
    path = folder / CARD_NAME
    replace_text(path, "\n".join(part for part in parts if part))
    return path


def escape_markdown(text: str) -> str:
    r"""Return a text that Markdown shows as it is, on one line, also within a cell of a table.

    Example:
        >>> print(escape_markdown("a|b <script> *c*"))
        a\|b &lt;script&gt; \*c\*
    """
    line = "".join(_ENTITIES.get(letter, letter) for letter in _one_line(text))
    return re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", _MARKUP.sub(r"\\\1", line))  # else a numbered list begins


def _one_line(text: str) -> str:
    return " ".join(plain_text(text).split())


def _front_matter(report: TrainingReport, licence: str | None, languages: Sequence[str]) -> str:
    from huggingface_hub import ModelCardData

    # without line breaks in texts: some readers end the front matter at any line of dashes
    base, is_hub_id = show_base_model(report.base_model)
    data = ModelCardData(
        language=[_one_line(language) for language in languages] or None,
        license=_one_line(licence) if licence else None,
        base_model=base if is_hub_id else None,  # the hub refuses anything else
        library_name="tunechain",
        pipeline_tag=_PIPELINE_TAGS[report.task],
        tags=["tunechain", _one_line(report.method)],
        metrics=list(dict.fromkeys(_HUB_METRICS[name] for name in report.metrics if name in _HUB_METRICS)) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _introduction(report: TrainingReport) -> str:
    base, _ = show_base_model(report.base_model)
    kind = TASK_WORDS[report.task]
    words = f"{kind[0].upper()}{kind[1:]}, fine-tuned from {escape_markdown(base)} with TuneChain"
    table = report.per_class or report.entities
    if table and table.classes:
        words += f"; it knows {len(table.classes)} labels"
    return f"# {escape_markdown(base)}, fine-tuned\n\n{words}.\n"


def _section(heading: str, blocks: Sequence[str]) -> str:
    return f"## {heading}\n\n" + "\n\n".join(blocks) + "\n" if blocks else ""


def _figures(report: TrainingReport) -> list[str]:
    methods = {"this model": report.metrics, **report.baselines}
    rows = [
        (
            describe_metric(name) + (" (lower is better)" if is_lower_better(name) else ""),
            *(format_figure(figures.get(name)) for figures in methods.values()),
        )
        for name in report.metrics
    ]
    where = f"Measured on {report.rows.test:,} test rows that training never saw."
    blocks = [where if report.rows.test else "There were no test rows; the figures come from training itself."]
    if rows:
        blocks.append(_table(["metric", *methods], rows))
    for heading, table in (("Labels", report.per_class), ("Entities", report.entities)):
        if table:
            named = {**table.classes, **{f"{name} average": row for name, row in table.averages.items()}}
            scores = [
                (name, *(format_figure(value) for value in (row.precision, row.recall, row.f1)), f"{row.support:,}")
                for name, row in named.items()
            ]
            blocks += [f"### {heading}", _table(["label", "precision", "recall", "F1", "test rows"], scores)]
    return blocks


def _thresholds(report: TrainingReport) -> list[str]:
    blocks = []
    if "ece" in report.metrics:
        blocks.append(
            "Probabilities differ from how often answers are right by "
            f"{format_figure(report.metrics['ece'])} on average (expected calibration error)."
        )
    return blocks + _bullets(describe_thresholds(report.thresholds))


def _data(report: TrainingReport) -> list[str]:
    rows = report.rows
    facts = [
        f"{rows.train:,} training rows, {rows.held_out:,} held out for stopping and thresholds, "
        f"{rows.test:,} test rows."
    ]
    if sha256 := report.data.get("sha256"):
        facts.append(f"sha256 of the rows: {sha256}")
    warnings = report.data.get("warnings")
    if isinstance(warnings, list | tuple):
        facts += [f"Warning: {warning}" for warning in warnings]
    return _bullets(facts)


def _method(report: TrainingReport) -> list[str]:
    parameters = describe_parameters(report.parameters.trainable, report.parameters.total)
    return _bullets(
        [
            f"Method: {report.method_reason or report.method}",
            f"Parameters: {parameters}",
            f"Size of the folder: {describe_size(report.size_bytes)}",
            f"Time: {describe_duration(report.seconds)}",
        ]
    )


def _origin(report: TrainingReport) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    facts = [f"Started {report.started.isoformat(timespec='seconds')}, seed {report.seed}."]
    if versions:
        facts.append(f"Versions: {versions}")
    blocks = _bullets(facts)
    return [*blocks, _fence(report.command, "sh")] if report.command else blocks


def _bullets(lines: Sequence[str]) -> list[str]:
    """Return one block with the lines as a list; none for no lines."""
    return ["\n".join(f"- {escape_markdown(line)}" for line in lines)] if lines else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(
        "| " + " | ".join(cell if number == 1 else escape_markdown(cell) for cell in line) + " |"
        for number, line in enumerate(lines)
    )


def _fence(text: str, language: str) -> str:
    """Return a block of code that its own content cannot end.

    Example:
        >>> print(_fence("echo ```", "sh"))
        ````sh
        echo ```
        ````
    """
    text = plain_text(text)
    longest = max([2, *(len(run) for run in re.findall("`+", text))])
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
