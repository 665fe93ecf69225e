"""Command line of `tunechain`: each command is a few lines over `apps/wiring.py`."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typing_extensions import override

from apps.command_options import AddEncoder, AsJson, Workspace
from apps.event_commands import event_commands
from apps.finetune_flags import DATA, describe_command, with_flags
from apps.key_commands import key_commands
from apps.label_commands import labelling
from apps.log_records import log_uncaught_errors, redact_logs
from apps.model_commands import model_commands
from apps.monitor_commands import monitor
from apps.privacy_commands import privacy
from apps.retrain_commands import add_commands
from apps.service_commands import service
from llms.errors import TuneChainError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from apps.settings import Settings


_NOT_WRITABLE = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# models, stores and servers are imported inside the commands: `tunechain --help` must answer at once
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(labelling, name="label")
app.add_typer(service, name="service")
app.add_typer(key_commands, name="keys")
app.add_typer(event_commands, name="events")
app.add_typer(model_commands, name="models")
app.add_typer(monitor, name="monitor")
app.add_typer(privacy, name="privacy")
add_commands(app)


def main() -> None:
    """Run the command line; an error of ours ends with its message and exit code 1."""
    redact_logs()
    log_uncaught_errors()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # JSON is UTF-8 whatever the terminal speaks; bytes that are not must be one bad line, not the end
            stream.reconfigure(encoding="utf-8", errors="surrogateescape" if stream is sys.stdin else "replace")
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):  # one that is no file
            sys.stdout = _named(sys.stdout)
    try:
        app()
        sys.stdout.flush()
    except TuneChainError as error:
        from apps.console import print_error

        print_error(error)
        raise SystemExit(1) from error
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        _give_up_output()
        sys.stderr.write(f"error: {error.filename or 'a file'} cannot be written: {error.strerror}\n")
        raise SystemExit(1) from error


class _NamedOutput(io.FileIO):
    """Standard output, whose errors name it: those of the system name no file once it is open."""

    @override
    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            raise


def _named(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_NamedOutput(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _give_up_output() -> None:
    """Let Python end without another try to write what was held back."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.callback()
def prepare() -> None:
    """Fine-tune small local models on your own records and run them as applications."""
    from apps.settings import prepare_process

    prepare_process()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sample records.")] = "en",
    *,
    add_encoder: AddEncoder = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace with sample records, to be replaced by your own."""
    from rich.text import Text

    from apps.console import output, print_json
    from apps.model_offer import choose_encoder
    from apps.workspace import create_workspace, refuse_used_folder

    refuse_used_folder(folder)
    files = create_workspace(folder, language=language, encoder=choose_encoder(language, folder, add=add_encoder))
    if as_json:
        print_json({"workspace": str(folder), "files": files})
    else:
        output.print(Text(f"{len(files)} files in {folder}. Next: tunechain quickstart {folder}"), soft_wrap=True)


@app.command()
def quickstart(
    folder: Annotated[Path, typer.Argument(help="The workspace; made if it is not there.")] = Path("workspace"),
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sample records.")] = "en",
    *,
    add_encoder: AddEncoder = None,
    as_json: AsJson = False,
) -> None:
    """Train every model of a workspace, run its applications once, and write a report."""
    from apps.console import print_json
    from apps.quickstart import run_quickstart

    outcome = run_quickstart(folder, language=language, add_encoder=add_encoder, show_results=not as_json)
    if as_json:
        print_json(outcome)


@app.command()
@with_flags
def finetune(
    task: Annotated[
        Literal["classifier", "tagger", "chat", "embeddings", "reranker"] | None,
        typer.Argument(help="What the model is for; may stand in the recipe instead.", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="TOML file with any of the options below; flags win.", rich_help_panel=DATA),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the model; a model that is there is replaced.")] = None,
    *,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Check the rows, train nothing; exit code 1 if training would fail.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse rows that there is any warning about.")] = False,
    as_json: AsJson = False,
    **flags: Any,
) -> None:
    """Train a model on your records, and report how good it is beside simple baselines.

    The folder gets report.html to read, report.json for programs, a model card, and recipe.toml, which repeats the
    training: tunechain finetune --recipe MODEL/recipe.toml
    """
    from apps.console import print_json
    from apps.finetuning import check_recipe, run_recipe
    from apps.finetuning_console import print_outcome
    from apps.recipes import Choice, read_recipe, resolve_recipe

    given = {name: value for name, value in {"out": out, **flags}.items() if value is not None}
    choices = read_recipe(recipe) if recipe else {}
    choices |= {name: Choice(value, f"--{name.replace('_', '-')}") for name, value in given.items()}
    choices |= {"task": Choice(task, "TASK")} if task else {}
    resolved = resolve_recipe(choices, needs_out=not check_only)
    if check_only:
        raise typer.Exit(0 if check_recipe(resolved, as_json=as_json) else 1)
    typed = {"recipe": recipe, **given} if recipe else given
    outcome = run_recipe(resolved, command=describe_command(task, typed), is_strict=strict)
    if outcome is None:
        return
    if as_json:
        print_json(outcome.to_dict())
    else:
        print_outcome(outcome.report, outcome.paths)


@app.command()
def classify(
    model: Annotated[Path, typer.Argument(help="Folder of a classifier.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, lines of standard input.")] = None,
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also which words tell, and the nearest examples.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Label texts, with a probability each; a line that cannot be read is named and the others are labelled."""
    from apps.console import print_classification, print_explanation, print_json, print_warning
    from apps.readers import read_text_lines
    from llms import LocalClassifier

    read = list(texts or read_text_lines(sys.stdin))
    lines = [line for line in read if isinstance(line, str)]
    for line in read:
        if not isinstance(line, str):
            print_warning(f"line {line.line} is left out: {line.reason}")
    classifier = LocalClassifier(model)
    for text, reply in zip(lines, classifier.batch(lines), strict=True):
        reasons = classifier.explain(text) if explain else None
        if as_json:
            print_json(reply.model_dump() | {"explanation": reasons.model_dump()} if reasons else reply)
            continue
        print_classification(text, reply)
        if reasons:
            print_explanation(reasons)
    if len(lines) < len(read):
        raise typer.Exit(1)


@app.command(name="import-faiss")
def import_faiss(
    old: Annotated[Path, typer.Argument(help="Folder that save_local of langchain-community's FAISS wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the new store; what it holds under other ids stays.")],
    index_name: Annotated[str, typer.Option(help="The index_name given to save_local.")] = "index",
    metric: Annotated[
        Literal["cosine", "inner_product", "l2"], typer.Option(help="How the new store compares.")
    ] = "cosine",
    namespace: Annotated[str | None, typer.Option(help="Tenant whose documents they are.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Folder or hub id; default: the workspace's, or ours.")] = None,
    workspace: Workspace = None,
    *,
    reembed: Annotated[bool, typer.Option("--reembed", help="Embed all texts again; take no vectors over.")] = False,
    check_vectors: Annotated[bool, typer.Option(help="Refuse vectors that the encoder did not make.")] = True,
    as_json: AsJson = False,
) -> None:
    """Take over a folder of langchain-community's FAISS store, without unpickling it."""
    from apps.console import errors, output, print_json, print_skipped, progress_bar
    from apps.importing import ImportOptions, choose_embeddings, import_old_store

    embedding, reason = choose_embeddings(workspace, encoder)
    errors.print(f"encoder: {embedding.model_name} ({reason})", markup=False, highlight=False, soft_wrap=True)
    options = ImportOptions(
        index_name=index_name, metric=metric, namespace=namespace, reembed=reembed, check_vectors=check_vectors
    )
    with progress_bar("importing") as on_progress:
        report = import_old_store(old, out, embedding=embedding, options=options, on_progress=on_progress)
    print_skipped(report)
    if as_json:
        skipped = [{"id": id_, "reason": reason} for id_, reason in report.skipped]
        print_json({"documents": report.documents, "skipped": skipped, "notes": report.notes})
    else:
        output.print(
            f"{report.documents} documents, {len(report.skipped)} skipped, in {out}", markup=False, soft_wrap=True
        )


@app.command()
def index(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="What the index shall hold, and nothing else; default: knowledge/.")
    ] = None,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Bring the knowledge index up to date with its files; only what changed is read and embedded again."""
    from dataclasses import asdict

    from apps.console import output, print_json, print_left_out, progress_bar
    from apps.indexing import refresh_index
    from apps.training import index_knowledge
    from apps.workspace_models import open_store

    settings = _settings(workspace)
    with progress_bar("indexing") as on_progress:
        if paths:
            store = open_store(settings, "knowledge", create=True)
            report = refresh_index(store, paths, on_progress=on_progress)
        else:
            report = index_knowledge(settings, on_progress=on_progress)
    print_left_out(report)
    if as_json:
        print_json({"found": report.found, **asdict(report)})
    else:
        parts = [f"{getattr(report, name)} {name}" for name in ("added", "updated", "removed", "unchanged")]
        for name, files in (("failed", report.failed), ("passed over", report.passed_over)):
            parts += [f"{len(files)} {name}"] if files else []
        output.print(f"{report.found} files found: {', '.join(parts)}")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def ask(
    text: Annotated[str | None, typer.Argument(help="A question; without one, a chat begins.")] = None,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Answer a customer's question; a chat remembers what was said, so "and for tablets?" is understood."""
    from apps.console import print_error, print_json, print_reply
    from apps.wiring import open_conversations

    chat = {"owner": "terminal", "conversation": "chat"}
    # kept in memory: what is typed here is for nobody else, and a server may have the workspace's file open
    with open_conversations(_settings(workspace), is_kept=False) as conversations:
        for number, question in enumerate([text] if text is not None else _typed_lines()):
            try:
                reply = conversations.send(**chat, message_id=f"question {number}", text=question)
            except TuneChainError as error:
                if text is not None:
                    raise
                print_error(error)  # a chat goes on after a question that cannot be taken
                continue
            if as_json:
                print_json(reply)
            else:
                print_reply(reply)
            if reply.route == "handover":  # nobody of the staff reads a terminal, so the assistant goes on
                conversations.close(**chat, message_id=f"close {number}")


@app.command()
def watch(
    source: Annotated[
        str,
        typer.Argument(
            help="A JSONL file of posts, - for standard input, a folder, https://... of a feed, "
            "or redis://HOST/0?stream=NAME."
        ),
    ],
    workspace: Workspace = None,
    *,
    sort: Annotated[bool, typer.Option("--sort", help="Read a whole file first and put it in order of time.")] = False,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Replay a file so many times as fast as it happened.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a stream of posts and print an alert as soon as negative opinion on a topic surges.

    Posts are taken in the order of the lines, from a file as from standard input. A folder, a feed and a Redis stream
    are read until Ctrl-C; what they bring is kept in the workspace, as a server keeps it.
    """
    from apps.console import errors
    from apps.sources.addresses import is_address
    from apps.watching import ReportPrinter, watch_lines, watch_source

    settings = _settings(workspace)
    printer = ReportPrinter(as_json=as_json)
    lives_on = is_address(source) or Path(source).is_dir()
    if (sort or speed is not None) and (lives_on or source == "-"):
        msg = "a stream that goes on has no end that could be waited for; --sort and --speed are for files"
        raise typer.BadParameter(msg)
    try:
        if lives_on:
            watch_source(settings, source, printer)
        else:
            watch_lines(settings, source, printer, sort=sort, speed=speed)
    finally:  # also where Ctrl-C ends it
        if printer.has_begun:
            errors.print(printer.summary(), style="dim", highlight=False, soft_wrap=True)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="User id; an unknown one gets a list for newcomers.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Length of the list.")] = 10,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="What the user looks for, such as: a quiet kettle under 50.")
    ] = None,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a list of items for a user, with a reason for each; with a query, of those that fit it."""
    from apps.console import print_json, print_recommendation
    from apps.wiring import build_recommendation
    from llms.texts import check_text

    if not check_text(user):
        msg = "a user id has at least one character"
        raise typer.BadParameter(msg)
    chain = build_recommendation(_settings(workspace))
    result = chain.invoke({"user": user, "k": k, "query": query})
    if as_json:
        print_json(result)
    else:
        print_recommendation(result)


@app.command()
def evaluate(
    what: Annotated[
        Literal["intent", "topic", "sentiment", "customer-service", "monitoring", "recommendation"],
        typer.Argument(help="A classifier of the workspace, or a whole use case."),
    ],
    data: Annotated[Path | None, typer.Option(help="Other test rows than the workspace's (classifiers only).")] = None,
    workspace: Workspace = None,
    *,
    from_log: Annotated[
        bool, typer.Option("--log", help="By replay of lists that were shown with propensities (recommendation only).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a classifier or a use case on test records, beside simple baselines."""
    from apps.console import print_budget, print_figures, print_json
    from apps.evaluate import evaluate_scenario, evaluate_shown_lists, replay_figures
    from apps.training import CLASSIFIERS

    if data is not None and what not in CLASSIFIERS:
        msg = f"--data is for {', '.join(CLASSIFIERS)}; {what} is measured on the records of the workspace"
        raise typer.BadParameter(msg)
    if from_log and what != "recommendation":
        msg = f"--log is for recommendation; of {what} no lists are shown"
        raise typer.BadParameter(msg)
    if from_log:
        figures = replay_figures(evaluate_shown_lists(_settings(workspace)))
        outcome: dict[str, Any] = {"metrics": figures.pop("tunechain"), "baselines": figures}
    else:
        outcome = evaluate_scenario(_settings(workspace), what, data)
    if as_json:
        print_json(outcome)
    else:
        print_figures(what, {"tunechain": outcome["metrics"], **outcome["baselines"]})
        if what == "customer-service":
            print_budget(outcome["budget"])


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: as in the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: as in the settings.")] = None,
    workspace: Workspace = None,
) -> None:
    """Serve the applications over HTTP, with a web page at / and the interface at /docs."""
    from apps.keys import KeyStore, check_address
    from apps.log_records import start_logging
    from apps.server.app import create_app
    from apps.server.serving import run_server

    start_logging(layout="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = _settings(workspace)
    host = host or settings.server.host
    check_address(host, KeyStore.of(settings))
    port = settings.server.port if port is None else port
    run_server(create_app(settings), host=host, port=port, settings=settings.server)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="A new folder outside the workspace.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a workspace, also while it is served, into a new folder that `restore` makes a workspace of."""
    from apps.backup import back_up
    from apps.console import print_backup, progress_bar

    settings = _settings(workspace)
    with progress_bar("backing up") as on_progress:
        report = back_up(settings, target, on_progress=on_progress)
    print_backup(report, target, as_json=as_json)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that `backup` made.")],
    target: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="A new folder.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a workspace of a backup in a new folder, after every file was compared with its sum."""
    from apps.backup import restore as restore_backup
    from apps.console import print_backup, progress_bar

    with progress_bar("restoring") as on_progress:
        report = restore_backup(source, target, on_progress=on_progress)
    print_backup(report, target, as_json=as_json)


@app.command()
def mcp(workspace: Workspace = None) -> None:
    """Offer the applications as tools over the Model Context Protocol, on standard input and output."""
    from apps.mcp_server import serve_workspace

    serve_workspace(_settings(workspace))


def _settings(workspace: Path | None) -> "Settings":
    from apps.settings import hold_back_tracing, load_settings

    settings = load_settings(workspace)
    if note := hold_back_tracing(settings):
        from apps.console import print_warning

        print_warning(note)
    return settings


def _typed_lines() -> Iterator[str]:
    """Yield what a person types until an empty line or the end of input."""
    from apps.console import errors

    while True:
        try:
            line = errors.input("[bold]you:[/bold] ") if sys.stdin.isatty() else next(sys.stdin, "").rstrip("\n")
        except (EOFError, KeyboardInterrupt):
            return
        if not line.strip():
            return
        yield line


if __name__ == "__main__":
    main()
