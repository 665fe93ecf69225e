"""Pickle interpreter that runs nothing: a pickle read as data."""

import functools
import pickletools
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from retrievers.errors import OldStoreError, UnsafePickleError
from retrievers.importing.allowed_names import Record, call_name, find_name, new_record

_MAX_INSTRUCTIONS = 100_000_000  # about two minutes, a million documents
_MAX_STACK = 100_000  # Python itself piles up at most some thousand values
_MAX_BITS_OF_NUMBER = 1024
_MEMO_BYTES, _ENTRY_BYTES, _RECORD_BYTES = 100, 100, 72
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: Mapping[str, type] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_KEY_TYPES = (str, int, float, bool, bytes, type(None))


class SizeBudget:
    """How much may become of a file before it counts as made to fill the memory.

    A few bytes can refer to a large value again and again. Honest files grow about twentyfold in memory.

    Args:
        file_bytes: size of the file.

    Example:
        >>> budget = SizeBudget(1_000)
        >>> budget.spend(1_000_000)
        >>> budget.spend(1_000_000_000)
        Traceback (most recent call last):
        ...
        retrievers.errors.OldStoreError: it unpacks to over 64 times its size; no store of documents does
    """

    _TIMES, _FREE_BYTES, _MAX_BYTES = 64, 16 << 20, 8 << 30

    def __init__(self, file_bytes: int) -> None:
        self._left = min(self._FREE_BYTES + self._TIMES * file_bytes, self._MAX_BYTES)

    def spend(self, size_bytes: int) -> None:
        """Take the size of one more value.

        Raises:
            OldStoreError: if nothing is left.
        """
        self._left -= size_bytes
        if self._left < 0:
            msg = f"it unpacks to over {self._TIMES} times its size; no store of documents does"
            raise OldStoreError(msg)


def read_inert_pickle(data: bytes) -> Any:
    r"""Return the value of a pickle, made of plain values and of stand-ins for the allowed classes.

    Nothing is imported and nothing is called that the data name: where Python's own reader would call a class, this
    one looks it up in a table of a few plain conversions, and where that would set an object's state, this one keeps
    the state beside a stand-in. Dictionary keys and members of sets are single values, as in every store of documents.

    Raises:
        UnsafePickleError: if the data ask for anything else.
        OldStoreError: if they are damaged, too large, or made to fill the memory.

    Example:
        >>> read_inert_pickle(b"(K\x01K\x02t.")
        (1, 2)
        >>> read_inert_pickle(b"cos\nsystem\n(S'ls'\ntR.")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        retrievers.errors.UnsafePickleError: it names 'os.system', which is no ...
    """
    reader = _Reader(SizeBudget(len(data)))
    end = -1
    try:
        for number, (opcode, argument, offset) in enumerate(pickletools.genops(data)):
            if number >= _MAX_INSTRUCTIONS:
                msg = f"it has more than {_MAX_INSTRUCTIONS:,} instructions; split the store before importing it"
                raise OldStoreError(msg)
            reader.step(opcode.name, argument)
            end = (offset or 0) + 1
    # what the reader of the instructions raises for bytes that are none
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, OldStoreError):
            raise
        msg = f"it is damaged or no pickle at all: {str(error)[:200]}"
        raise OldStoreError(msg) from error
    if end != len(data):
        msg = f"it has {len(data) - end:,} bytes after its end; it is damaged"
        raise OldStoreError(msg)
    return reader.result()


class _Reader:
    """The stack, the marks in it and the values kept for later, as the instructions of a pickle use them."""

    def __init__(self, budget: SizeBudget) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._budget = budget
        self._steps: Mapping[str, Callable[[Any], None]] = self._make_steps()

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        follow = self._steps.get(name)
        if follow is None:
            msg = f"it uses the instruction {name}, which no store of documents needs; nothing was run"
            raise UnsafePickleError(msg)
        follow(argument)

    def result(self) -> Any:
        """Return the one value that is left."""
        if len(self._stack) != 1 or self._marks:
            _damaged("it does not end with one value")
        return self._stack[0]

    def _make_steps(self) -> dict[str, Callable[[Any], None]]:
        steps: dict[str, Callable[[Any], None]] = dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _argument: None)
        values = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")
        steps |= dict.fromkeys((*values, "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), self._push_new)
        steps |= {name: functools.partial(self._push_constant, value) for name, value in _CONSTANTS.items()}
        steps |= {name: functools.partial(self._push_empty, kind) for name, kind in _EMPTY.items()}
        steps |= {f"TUPLE{count}": functools.partial(self._push_tuple, count) for count in (1, 2, 3)}
        steps |= dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), self._keep)
        steps |= dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), self._push_kept)
        return steps | {
            "MARK": self._mark,
            "POP": lambda _argument: self._drop(),
            "POP_MARK": lambda _argument: self._drop_to_mark(),
            "TUPLE": lambda _argument: self._push_new(tuple(self._pop_to_mark())),
            "FROZENSET": lambda _argument: self._push_set(self._pop_to_mark()),
            "MEMOIZE": lambda _argument: self._keep(len(self._memo)),
            "APPEND": lambda _argument: self._extend(self._pop_many(1)),
            "APPENDS": lambda _argument: self._extend(self._pop_to_mark()),
            "SETITEM": lambda _argument: self._set_items(self._pop_many(2)),
            "SETITEMS": lambda _argument: self._set_items(self._pop_to_mark()),
            "ADDITEMS": lambda _argument: self._add_items(self._pop_to_mark()),
            "GLOBAL": self._name,
            "STACK_GLOBAL": lambda _argument: self._push(find_name(*self._pop_many(2))),
            "NEWOBJ": lambda _argument: self._push_new(new_record(*self._pop_many(2))),
            "REDUCE": lambda _argument: self._push_new(call_name(*self._pop_many(2))),
            "BUILD": lambda _argument: self._build(),
        }

    # --- the stack

    def _push(self, value: Any) -> None:
        if len(self._stack) >= _MAX_STACK:
            msg = f"it is nested too deep, or holds a tuple of more than {_MAX_STACK:,} entries"
            raise OldStoreError(msg)
        self._stack.append(value)

    def _push_new(self, value: Any) -> None:
        if type(value) is int and value.bit_length() > _MAX_BITS_OF_NUMBER:
            msg = f"it holds a whole number of {value.bit_length():,} bits; at most {_MAX_BITS_OF_NUMBER} are taken"
            raise OldStoreError(msg)
        self._budget.spend(_RECORD_BYTES if isinstance(value, Record) else sys.getsizeof(value))
        self._push(value)

    def _push_constant(self, value: Any, _argument: Any) -> None:
        self._push(value)

    def _push_empty(self, kind: type, _argument: Any) -> None:
        self._push_new(kind())

    def _push_tuple(self, count: int, _argument: Any) -> None:
        self._push_new(tuple(self._pop_many(count)))

    def _push_set(self, entries: list[Any]) -> None:
        self._push_new(frozenset(_checked_keys(entries)))

    def _mark(self, _argument: Any) -> None:
        if len(self._marks) >= _MAX_STACK:
            msg = "it is nested too deep"
            raise OldStoreError(msg)
        self._marks.append(len(self._stack))

    def _pop_many(self, count: int) -> list[Any]:
        start = len(self._stack) - count
        if start < (self._marks[-1] if self._marks else 0):
            _damaged("an instruction finds too few values")
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            _damaged("a group of values has no beginning")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _drop(self) -> None:
        self._pop_many(1)

    def _drop_to_mark(self) -> None:
        self._pop_to_mark()

    def _top(self, *kinds: type) -> Any:
        """Return the value on top, which must be of exactly such a kind."""
        is_there = len(self._stack) > (self._marks[-1] if self._marks else 0)
        if not is_there or type(self._stack[-1]) not in kinds:
            _damaged("something is added to a value that takes nothing")
        return self._stack[-1]

    # --- values kept for later

    def _keep(self, number: int) -> None:
        if not self._stack or number < 0:
            _damaged("nothing is there to be kept")
        self._budget.spend(_MEMO_BYTES)
        self._memo[number] = self._stack[-1]

    def _push_kept(self, number: int) -> None:
        if number not in self._memo:
            _damaged(f"value {number} is referred to before it is there")
        self._push(self._memo[number])

    # --- values that grow

    def _extend(self, entries: list[Any]) -> None:
        self._budget.spend(_ENTRY_BYTES * len(entries) // 8)  # a list holds one address per entry
        self._top(list).extend(entries)

    def _set_items(self, entries: list[Any]) -> None:
        if len(entries) % 2:
            _damaged("a key has no value")
        self._budget.spend(_ENTRY_BYTES * len(entries) // 2)
        self._top(dict).update(zip(_checked_keys(entries[::2]), entries[1::2], strict=True))

    def _add_items(self, entries: list[Any]) -> None:
        self._budget.spend(_ENTRY_BYTES * len(entries))
        self._top(set).update(_checked_keys(entries))

    # --- names and what stands in for their objects

    def _name(self, argument: str) -> None:
        self._push(find_name(*argument.split(" ", 1)))

    def _build(self) -> None:
        (state,) = self._pop_many(1)
        record = self._top(Record)
        if record.state is not None:
            msg = f"it sets the state of a {record.kind} twice, which no store of documents does; nothing was run"
            raise UnsafePickleError(msg)
        record.state = state


def _checked_keys(keys: list[Any]) -> list[Any]:
    """Return keys that are single values: the hash of a tuple nested very deep would end the process."""
    for key in keys:
        if type(key) not in _KEY_TYPES:
            msg = f"it holds a mapping or set with a key of type {type(key).__name__}; only single values are taken"
            raise OldStoreError(msg)
    return keys


def _damaged(why: str) -> NoReturn:
    msg = f"it is damaged or no pickle at all: {why}"
    raise OldStoreError(msg)
