"""Commands of `tunechain keys`: add, list and remove keys of the server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from apps.command_options import AsJson, Workspace

if TYPE_CHECKING:
    from apps.keys import Key, KeyStore


# what the commands need is imported inside them: `tunechain --help` must answer at once
key_commands = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys that the server asks for.")


@key_commands.command()
def add(
    owner: Annotated[str, typer.Argument(help="Whose key it is: NAME, or TENANT/NAME for a tenant's workspace.")],
    role: Annotated[
        Literal["customer", "staff"],
        typer.Option(help="customer: ask, and recommendations for this owner; staff: everything."),
    ],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this one time; only its hash is stored."""
    from apps.console import errors, output, print_json
    from apps.keys import KeyStore, check_owner
    from apps.settings import load_settings

    settings = load_settings(workspace)
    check_owner(owner, tenants=frozenset(name for name, _ in settings.tenants))
    key, secret = KeyStore.of(settings).add(owner, role=role)
    if as_json:
        print_json({**key.model_dump(mode="json"), "key": secret})
        return
    output.file.write(f"{secret}\n")  # alone on standard output, so that a program can take it
    errors.print(f"Key {key.id} of {owner} ({role}). It is not shown again. Send it as: Authorization: Bearer KEY")


@key_commands.command("list")
def list_keys(workspace: Workspace = None, *, as_json: AsJson = False) -> None:
    """Show every key with its owner, but not the key itself."""
    from apps.console import output, print_json

    for key in _keys(workspace).list_all():
        if as_json:
            print_json(key)
        else:
            output.print(_line(key), soft_wrap=True, markup=False, highlight=False)


@key_commands.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `keys list` shows it.")],
    workspace: Workspace = None,
    *,
    as_json: AsJson = False,
) -> None:
    """End a key at once, also for a server that runs."""
    from apps.console import output, print_json

    key = _keys(workspace).revoke(key_id)
    if as_json:
        print_json(key)
    else:
        output.print(_line(key), soft_wrap=True, markup=False, highlight=False)


def _keys(workspace: Path | None) -> "KeyStore":
    from apps.keys import KeyStore
    from apps.settings import load_settings

    return KeyStore.of(load_settings(workspace))


def _line(key: "Key") -> str:
    ended = f"  revoked {_utc(key.revoked)}" if key.revoked else ""
    return f"{key.id}  {key.owner}  {key.role}  made {_utc(key.created)}{ended}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
