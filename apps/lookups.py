"""Lookup tables of the operator, as tools that supply values for approved answers."""

from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import create_model

from apps.errors import WorkspaceError
from llms.finetuning.data import Row, read_table
from llms.texts import fold_text

_FOUND, _OWNER = "text", "owner"


def read_lookups(folder: Path) -> list[BaseTool]:
    """Return a tool for each CSV table in `folder`, named like the file; none if there is no such folder.

    The column `text` is what the tool returns, the others are what it is asked with. With a column `owner`, a row is
    found for the owner of the question only, by the name that the key has; a question without an owner, as in the
    terminal, finds all. Capital letters, spaces, signs and forms of characters make no difference: "vt ２０４９１８"
    finds the row of "VT-204918".

    Raises:
        WorkspaceError: if a table has no column `text`, or none beside it, or two rows for one question.
    """
    return [_tool(path) for path in sorted(folder.glob("*.csv"))]


def _tool(path: Path) -> BaseTool:
    table = read_table(path, [_FOUND])
    keys = [name for name in (table.rows[0].values if table.rows else {}) if name not in (_FOUND, _OWNER)]
    if not keys:
        msg = f"{path} needs a column beside {_FOUND!r} to look a row up by, such as order_number"
        raise WorkspaceError(msg)
    known: dict[tuple[str, ...], Row] = {}
    for row in table.rows:
        key = tuple(_plain(row.values[name]) for name in keys)
        if key in known:
            msg = f"line {row.line} of {path} has the {', '.join(keys)} of an earlier line; each may stand once"
            raise WorkspaceError(msg)
        known[key] = row

    def find(config: RunnableConfig, **values: str) -> str:
        row = known.get(tuple(_plain(values[name]) for name in keys))
        asker = config.get("configurable", {}).get("owner")
        if row is None or (asker is not None and row.values.get(_OWNER, asker) != asker):
            return ""
        return str(row.values[_FOUND])

    fields: dict[str, Any] = dict.fromkeys(keys, (str, ...))
    return StructuredTool.from_function(
        find,
        name=path.stem,
        description=f"Look up {path.stem.replace('_', ' ')} by {', '.join(keys)}; empty if unknown.",
        args_schema=create_model(path.stem, **fields),
    )


def _plain(value: str) -> str:
    return "".join(character for character in fold_text(value) if character.isalnum())
