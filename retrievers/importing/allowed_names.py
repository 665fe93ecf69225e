"""Allow-list of the names in a pickle of documents, and the plain values that stand in for them."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from retrievers.errors import UnsafePickleError
from retrievers.store.plain_metadata import plain_scalar, sorted_set

_MAX_LEVELS = 30  # of lists and mappings in metadata
_FOLD = 0x80  # datetime marks the second of two equal clock times in the first bit of its month, time in its hour


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a pickle uses and that is allowed; nothing is imported for it.

    Attributes:
        kind: what it stands for, as in `_KINDS`.
    """

    kind: str


@dataclass(slots=True, eq=False)
class Record:
    """What stands for an object of an allowed class.

    Attributes:
        kind: the class, as in `_KINDS`.
        made_from: what the class was called with.
        state: what the file sets on the object; kept as it is, never applied to anything.
    """

    kind: str
    made_from: tuple[Any, ...] = ()
    state: Any = None


_KINDS: Mapping[tuple[str, str], str] = {
    # the class moved several times; each line is where some release had it
    ("langchain.docstore.document", "Document"): "document",
    ("langchain.schema", "Document"): "document",
    ("langchain.schema.document", "Document"): "document",
    ("langchain_core.documents", "Document"): "document",
    ("langchain_core.documents.base", "Document"): "document",
    ("langchain.docstore.in_memory", "InMemoryDocstore"): "docstore",
    ("langchain_community.docstore.in_memory", "InMemoryDocstore"): "docstore",
    # what metadata often hold
    ("builtins", "set"): "set",
    ("builtins", "frozenset"): "set",
    ("collections", "OrderedDict"): "mapping",
    ("datetime", "date"): "date",
    ("datetime", "datetime"): "datetime",
    ("datetime", "time"): "time",
    ("datetime", "timedelta"): "timedelta",
    ("datetime", "timezone"): "timezone",
    ("decimal", "Decimal"): "decimal",
    ("uuid", "UUID"): "uuid",
    ("pathlib", "PosixPath"): "posix path",
    ("pathlib", "PurePosixPath"): "posix path",
    ("pathlib", "WindowsPath"): "windows path",
    ("pathlib", "PureWindowsPath"): "windows path",
    ("pathlib._local", "PosixPath"): "posix path",
    ("pathlib._local", "WindowsPath"): "windows path",
    ("numpy", "dtype"): "numpy dtype",
    ("numpy.core.multiarray", "scalar"): "numpy scalar",
    ("numpy._core.multiarray", "scalar"): "numpy scalar",
}
_NEW_KINDS = ("document", "docstore", "uuid")  # made empty first, then given a state
_NUMPY_CODES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])


def find_name(module: object, name: object) -> Name:
    """Return the stand-in for an allowed name.

    Raises:
        UnsafePickleError: for every other name; it is neither imported nor looked at.

    Example:
        >>> find_name("langchain_core.documents.base", "Document")
        Name(kind='document')
    """
    if isinstance(module, str) and isinstance(name, str) and (kind := _KINDS.get((module, name))):
        return Name(kind)
    if not (isinstance(module, str) and isinstance(name, str)):
        msg = "it names something with a name that is no text; it is no store of documents, and nothing was run"
        raise UnsafePickleError(msg)
    msg = (
        f"it names {f'{module}.{name}'[:200]!r}, which is no document and is never run; if the file is yours and such "
        "values are metadata, open it once with the library that wrote it, turn them into text, and save it again"
    )
    raise UnsafePickleError(msg)


def new_record(name: object, arguments: object) -> Record:
    """Return an empty stand-in for an object of an allowed class.

    Raises:
        UnsafePickleError: for what is no class made empty.
    """
    if isinstance(name, Name) and name.kind in _NEW_KINDS and arguments == ():
        return Record(name.kind)
    raise _refused(name, "is made in a way no store of documents is")


def call_name(name: object, arguments: object) -> Any:
    """Return the plain value that an allowed class, called with these arguments, stands for.

    Times, dates, decimals and paths become text, numpy numbers become numbers.

    Raises:
        UnsafePickleError: if the name is no such class, or takes no such arguments.

    Example:
        >>> call_name(Name("date"), (bytes([7, 232, 2, 29]),))
        '2024-02-29'
    """
    maker = _MAKERS.get(name.kind) if isinstance(name, Name) else None
    if maker is None or type(arguments) is not tuple:
        raise _refused(name, "is called, which no store of documents needs")
    try:
        return maker(arguments)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _refused(name, "is called with what it does not take") from error


def plain_value(value: Any, count: Callable[[int], None], level: int = 0) -> Any:
    """Return a value of a pickle as JSON can hold it.

    Tuples and sets become lists, sets sorted by type and value; numbers as keys become text as in JSON.

    Args:
        count: told the size of every value, in characters; raises when it is enough, for one value may be
            referred to any number of times.
        level: how many lists and mappings are around it.

    Raises:
        ValueError: if JSON cannot hold it; the message says why.

    Example:
        >>> plain_value({"tags": {"b", "a"}, "size": (1, 2)}, lambda size: None)
        {'tags': ['a', 'b'], 'size': [1, 2]}
    """
    count(len(value) + 2 if isinstance(value, str) else 8)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if level >= _MAX_LEVELS:
        msg = f"nested more than {_MAX_LEVELS} levels deep"
        raise ValueError(msg)
    if type(value) is dict:
        return {_plain_key(key, count): plain_value(entry, count, level + 1) for key, entry in value.items()}
    if type(value) in (set, frozenset):
        value = sorted_set(value)
    if type(value) in (list, tuple):
        return [plain_value(entry, count, level + 1) for entry in value]
    if isinstance(value, Record) and value.kind == "uuid":
        return _uuid_text(value)
    kind = value.kind if isinstance(value, Name | Record) else type(value).__name__
    msg = f"holds a value of type {kind}, which is no JSON"
    raise ValueError(msg)


def _plain_key(key: Any, count: Callable[[int], None]) -> Any:
    if key is not None and type(key) not in (bool, int, float, str):
        msg = f"a key is {type(key).__name__}, which is no JSON"
        raise ValueError(msg)
    count(len(key) + 4 if isinstance(key, str) else 8)
    return key


def _uuid_text(value: Record) -> str:
    number = value.state.get("int") if type(value.state) is dict else None
    if type(number) is not int:
        msg = "holds a UUID without its number"
        raise ValueError(msg)
    return str(uuid.UUID(int=number))


def _refused(name: object, why: str) -> UnsafePickleError:
    what = name.kind if isinstance(name, Name | Record) else type(name).__name__
    return UnsafePickleError(f"it holds a {what!r} that {why}; nothing was run")


# --- each maker checks what it is given, and calls nothing that the file chose


def _set(arguments: Sequence[Any]) -> set[Any]:
    (entries,) = arguments
    if type(entries) is not list or not all(type(entry) in (str, int, float, bool, bytes) for entry in entries):
        raise TypeError
    return set(entries)


def _mapping(arguments: Sequence[Any]) -> dict[Any, Any]:
    if arguments:
        raise TypeError
    return {}  # filled by what follows in the file


def _date(arguments: Sequence[Any]) -> str:
    (packed,) = _packed(arguments, 4)
    return str(plain_scalar(date(packed[0] * 256 + packed[1], packed[2], packed[3])))


def _datetime(arguments: Sequence[Any]) -> str:
    packed, *zone = _packed(arguments, 10)
    day = (packed[0] * 256 + packed[1], packed[2] & ~_FOLD, packed[3])
    return str(plain_scalar(datetime(*day, *_clock(packed[4:]), tzinfo=_zone(zone))))


def _time(arguments: Sequence[Any]) -> str:
    packed, *zone = _packed(arguments, 6)
    return str(plain_scalar(time(*_clock(bytes([packed[0] & ~_FOLD]) + packed[1:]), tzinfo=_zone(zone))))


def _clock(packed: bytes) -> tuple[int, int, int, int]:
    return packed[0], packed[1], packed[2], int.from_bytes(packed[3:6], "big")


def _packed(arguments: Sequence[Any], num_bytes: int) -> Sequence[Any]:
    if not arguments or type(arguments[0]) is not bytes or len(arguments[0]) != num_bytes:
        raise TypeError
    return arguments


def _zone(zone: Sequence[Any]) -> tzinfo | None:
    if zone and (len(zone) > 1 or type(zone[0]) is not timezone):
        raise TypeError
    return zone[0] if zone else None


def _timedelta(arguments: Sequence[Any]) -> timedelta:
    days, seconds, microseconds = arguments
    if not all(type(part) is int for part in arguments):
        raise TypeError
    return timedelta(days, seconds, microseconds)


def _timezone(arguments: Sequence[Any]) -> timezone:
    offset, *_name = arguments
    if type(offset) is not timedelta:
        raise TypeError
    return timezone(offset)


def _decimal(arguments: Sequence[Any]) -> str:
    (text,) = arguments
    if type(text) is not str:
        raise TypeError
    return text


def _posix_path(arguments: Sequence[Any]) -> str:
    return str(plain_scalar(PurePosixPath(*_parts(arguments))))


def _windows_path(arguments: Sequence[Any]) -> str:
    return str(plain_scalar(PureWindowsPath(*_parts(arguments))))


def _parts(arguments: Sequence[Any]) -> Sequence[str]:
    if not all(type(part) is str for part in arguments):
        raise TypeError
    return arguments


def _numpy_dtype(arguments: Sequence[Any]) -> Record:
    # the type first: the hash of a tuple nested very deep would end the process
    if not arguments or type(arguments[0]) is not str or arguments[0] not in _NUMPY_CODES:
        raise TypeError
    return Record("numpy dtype", made_from=(arguments[0],))


def _numpy_scalar(arguments: Sequence[Any]) -> Any:
    dtype, packed = arguments
    if not isinstance(dtype, Record) or dtype.kind != "numpy dtype" or type(packed) is not bytes:
        raise TypeError
    order = dtype.state[1] if type(dtype.state) is tuple and len(dtype.state) > 1 else "|"
    if order not in ("<", ">", "|"):
        raise TypeError
    (number,) = np.frombuffer(packed, dtype=np.dtype(dtype.made_from[0]).newbyteorder(order)).tolist()
    return number


_MAKERS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "set": _set,
    "mapping": _mapping,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "timedelta": _timedelta,
    "timezone": _timezone,
    "decimal": _decimal,
    "posix path": _posix_path,
    "windows path": _windows_path,
    "numpy dtype": _numpy_dtype,
    "numpy scalar": _numpy_scalar,
}
