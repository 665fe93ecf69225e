"""Commands of `tunechain privacy`: what is held of a person, its deletion, and the expiry of old records."""

import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from apps.privacy import Deletion, RecordKind
    from apps.settings import Settings

# what the commands need is imported inside them: `tunechain --help` must answer at once
privacy = typer.Typer(
    no_args_is_help=True,
    help="Show and delete what is held of a person. Stop the server first, unless conversations are in PostgreSQL.",
)


class Kind(Enum):
    """Kinds of records that expire."""

    conversations = "conversations"
    feedback = "feedback"
    reviewed = "reviewed"
    events = "events"


Owner = Annotated[str, typer.Argument(help="Whose records: NAME, or TENANT/NAME, as `keys list` shows it.")]
Tenant = Annotated[str | None, typer.Option(help="Tenant whose workspace is meant; default: the one in OWNER, if any.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_WORDS = {
    "en": {
        "conversations": "conversations",
        "feedback": "judgements of answers",
        "reviewed": "reviewed messages",
        "events": "events with items",
        "keys": "keys",
        "held": "held of {owner}:",
        "nothing": "nothing is held of {owner}",
        "ask": "Delete all of it? It cannot be brought back.",
        "ask_old": "Delete what is older than {date}? It cannot be brought back.",
        "deleted": "deleted:",
        "left": "nothing was deleted",
        "written": "written to {path}; it holds personal data",
        "undated": "{count} reviewed messages of an earlier version have no date and stay",
        "still": (
            "the model in {path} was trained with a deleted message; train it again with: "
            "tunechain quickstart {workspace}"
        ),
    },
    "zh": {
        "conversations": "段对话",
        "feedback": "条回答评价",
        "reviewed": "条已审核消息",
        "events": "条商品行为",
        "keys": "个密钥",
        "held": "保存的与 {owner} 有关的数据：",
        "nothing": "没有保存与 {owner} 有关的数据",
        "ask": "全部删除吗？删除后无法恢复。",
        "ask_old": "删除早于 {date} 的记录吗？删除后无法恢复。",
        "deleted": "已删除：",
        "left": "没有删除任何数据",
        "written": "已写入 {path}；该文件包含个人数据",
        "undated": "有 {count} 条旧版本的已审核消息没有日期，予以保留",
        "still": "{path} 中的模型曾用已删除的消息训练；请重新训练：tunechain quickstart {workspace}",
    },
}


@privacy.command("export")
def export_records(
    owner: Owner,
    out: Annotated[Path | None, typer.Option(help="A new file; default: standard output.")] = None,
    tenant: Tenant = None,
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write all that is held of a person as one JSON object, to a new file or to standard output."""
    from apps.console import errors, print_json
    from apps.errors import WorkspaceError
    from apps.privacy import export_person
    from apps.private_files import make_private

    settings = _settings_for(workspace, owner=owner, tenant=tenant)
    held = export_person(settings, owner)
    if out is None or as_json:
        print_json(held)
    if out is None:
        return
    if out.exists():
        msg = f"{out} is there already; name a new file"
        raise WorkspaceError(msg)
    try:
        make_private(out)
        out.write_text(held.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}"
        raise WorkspaceError(msg) from error
    errors.print(_words(settings)["written"].format(path=out), markup=False, soft_wrap=True)


@privacy.command("delete")
def delete_records(
    owner: Owner,
    tenant: Tenant = None,
    workspace: Workspace = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what is held of a person, ask, and delete it everywhere in the workspace."""
    from apps.console import output
    from apps.privacy import delete_person, export_person

    settings = _settings_for(workspace, owner=owner, tenant=tenant)
    words = _words(settings)
    held = export_person(settings, owner)
    if not as_json:
        if not any(held.counts.values()):
            output.print(words["nothing"].format(owner=owner), markup=False, soft_wrap=True)
        else:
            output.print(words["held"].format(owner=owner), _list(held.counts, words), markup=False, soft_wrap=True)
    if any(held.counts.values()) and not _is_agreed(words["ask"], yes=yes):
        output.print(words["left"])
        raise typer.Exit(1)
    _tell(delete_person(settings, held), settings, as_json=as_json)


@privacy.command()
def expire(
    older_than: Annotated[str, typer.Option(help="Age of the records to delete, such as 90d, 12h or 4w.")],
    kind: Annotated[
        list[Kind] | None,
        typer.Option(help="Kind of record; may be given several times; default: all."),
    ] = None,
    tenant: Tenant = None,
    workspace: Workspace = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete records that are older than so long; of a conversation, the last message counts."""
    from apps.console import output
    from apps.privacy import expire_records, read_age

    settings = _settings_for(workspace, tenant=tenant)
    words = _words(settings)
    before = datetime.now(UTC) - read_age(older_than)
    if not _is_agreed(words["ask_old"].format(date=f"{before:%Y-%m-%d %H:%M} UTC"), yes=yes):
        output.print(words["left"])
        raise typer.Exit(1)
    kinds: list[RecordKind] = [one.value for one in kind or Kind]
    _tell(expire_records(settings, before=before, kinds=kinds), settings, as_json=as_json)


def _settings_for(workspace: Path | None, *, owner: str | None = None, tenant: str | None = None) -> "Settings":
    from apps.keys import check_owner
    from apps.privacy import find_workspace_of
    from apps.settings import load_settings

    if owner is not None:
        check_owner(owner)
    return find_workspace_of(load_settings(workspace), owner=owner, tenant=tenant)


def _words(settings: "Settings") -> dict[str, str]:
    return _WORDS[settings.language]


def _is_agreed(question: str, *, yes: bool) -> bool:
    """Whether the person at the terminal agrees; where nobody can be asked, they do not."""
    if yes:
        return True
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def _list(counts: dict[str, int], words: dict[str, str]) -> str:
    return ", ".join(f"{count} {words[name]}" for name, count in counts.items())


def _tell(deletion: "Deletion", settings: "Settings", *, as_json: bool) -> None:
    from apps.console import output, print_json, print_warning

    words = _words(settings)
    if as_json:
        print_json(deletion)
    else:
        output.print(words["deleted"], _list(deletion.deleted, words), markup=False, soft_wrap=True)
    if deletion.undated:
        print_warning(words["undated"].format(count=deletion.undated))
    for path in deletion.still_in:
        print_warning(words["still"].format(path=path, workspace=settings.workspace))
    if deletion.still_in:
        raise typer.Exit(1)
