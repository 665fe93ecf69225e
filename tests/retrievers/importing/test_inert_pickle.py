"""Pickles that try to run something are refused and run nothing; genuine ones give what was pickled."""

import builtins
import contextlib
import functools
import operator
import os
import pickle  # noqa: TID251  # attacks are made and shown to work with it; nothing of ours imports it
import subprocess
import sys
from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from llms.fakes import HashedEmbeddings
from retrievers.errors import OldStoreError, UnsafePickleError
from retrievers.importing.allowed_names import Name, Record, call_name, plain_value
from retrievers.importing.inert_pickle import SizeBudget, read_inert_pickle
from retrievers.importing.pickled_documents import read_documents_pickle
from tests.retrievers.community import old_class

DOCUMENT = b"\x8c\x1dlangchain_core.documents.base\x8c\x08Document\x93"
DOCSTORE = b"\x8c\x26langchain_community.docstore.in_memory\x8c\x10InMemoryDocstore\x93"


def named(cases):
    """A parameter `data` for each case, under its name."""
    return pytest.mark.parametrize("data", list(cases.values()), ids=list(cases))


class Call:
    """Pickled as a call of a function; callable itself, so that a call's result can be called in the same way."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts

    def __call__(self):
        raise AssertionError("never called before it is pickled")


def attacks(marker):
    """Values whose pickle makes the file `marker` in Python's own reader."""
    touch = f"touch {marker}"
    path = Path(marker)
    return {
        "posix.system": Call(os.system, touch),
        "builtins.eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "builtins.exec": Call(exec, f"open({str(marker)!r}, 'w')"),
        "builtins.open": Call(open, str(marker), "w"),
        "subprocess.check_output": Call(subprocess.check_output, ["touch", str(marker)]),
        "functools.partial": Call(functools.partial(os.system, touch)),
        "operator.methodcaller": Call(operator.methodcaller("touch"), path),
        "builtins.getattr": Call(Call(getattr, path, "touch")),
        "builtins.getattr of builtins": Call(Call(getattr, builtins, "eval"), f"open({str(marker)!r}, 'w')"),
        "operator.attrgetter": Call(Call(operator.attrgetter("touch"), path)),
        "builtins.map": Call(list, Call(map, os.system, [touch])),
        "in a document": Document.model_construct(page_content=Call(os.system, touch)),
        "in its metadata": Document.model_construct(page_content="a", metadata={"x": Call(os.system, touch)}),
        "in a set": {"a", Call(os.system, touch)},
    }


@pytest.mark.parametrize("name", [name for name in attacks("m") if name != "builtins.getattr of builtins"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_runs_in_the_ordinary_reader_is_refused_here_and_runs_nothing(tmp_path, name, protocol):
    data = pickle.dumps(attacks(tmp_path / "marker")[name], protocol=protocol)
    with pytest.raises(UnsafePickleError):
        read_inert_pickle(data)
    (tmp_path / "index.pkl").write_bytes(data)
    with pytest.raises(UnsafePickleError, match=r"index\.pkl is not imported: it names '\w+[\w.]*'"):
        read_documents_pickle(tmp_path / "index.pkl")
    assert not (tmp_path / "marker").exists()
    with contextlib.suppress(Exception):  # what becomes of it after the file was made is no matter
        pickle.loads(data)  # noqa: S301  # our own attack: it must work, or the test shows nothing
    assert (tmp_path / "marker").exists()


@named(
    {
        "os.system": b"cos\nsystem\n(S'true'\ntR.",
        "INST": b"(S'true'\nios\nsystem\n.",
        "INST, allowed class": b"(ilangchain.schema\nDocument\n.",
        "OBJ": b"(cos\nsystem\nS'true'\no.",
        "NEWOBJ_EX": b"\x80\x04" + DOCUMENT + b")}\x92.",
        "EXT1": b"\x82\x01.",
        "EXT2": b"\x83\x01\x00.",
        "EXT4": b"\x84\x01\x00\x00\x00.",
        "PERSID": b"Pfile\n.",
        "BINPERSID": b"K\x01Q.",
        "NEXT_BUFFER": b"\x97.",
        "STACK_GLOBAL of numbers": b"K\x01K\x02\x93.",
        "a name behind an allowed one": b"\x80\x04\x8c\x1dlangchain_core.documents.base\x8c\x02os\x93.",
        "a dotted name": b"\x80\x04\x8c\x1dlangchain_core.documents.base\x8c\x11Document.__init__\x93.",
        "a text of the file as a function": b"\x80\x04\x8c\x02os(K\x01tR.",
        "calling a document": b"\x80\x04" + DOCUMENT + b")R.",
        "calling a docstore": b"\x80\x04" + DOCSTORE + b"}\x85R.",
        "calling an empty document": b"\x80\x04" + DOCUMENT + b")\x81)R.",
        "making a document from arguments": b"\x80\x04" + DOCUMENT + b"K\x01\x85\x81.",
        "making a date": b"\x80\x04\x8c\x08datetime\x8c\x04date\x93)\x81.",
        "a state set twice": b"\x80\x04" + DOCUMENT + b")\x81}\x8c\x01aK\x01sb}\x8c\x01aK\x02sb.",
        "numpy objects": b"cnumpy\ndtype\n(\x8c\x01O8\x89\x88tR.".replace(b"\x8c\x01O8", b"\x8c\x02O8"),
        "numpy records": b"\x80\x04cnumpy\ndtype\n(](K\x01etR.",
        "a date of nonsense": b"\x80\x04cdatetime\ndate\n(C\x04\xff\xff\xff\xfftR.",
        "a path of numbers": b"\x80\x04cpathlib\nPosixPath\n(K\x01tR.",
        "_reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\nNNtR.",
        "arguments that are no tuple": b"\x80\x04\x8c\x07decimal\x8c\x07Decimal\x93]R.",
    }
)
def test_what_no_store_of_documents_needs_is_refused(data):
    with pytest.raises(UnsafePickleError):
        read_inert_pickle(data)


@pytest.mark.parametrize(
    "state",
    [
        {"__class__": "x", "__dict__": {"page_content": "a"}},
        {"__setstate__": "x", "__reduce__": "y", "page_content": "a"},
        ({"page_content": "a"}, {"__class__": "x"}),
        {"kind": "docstore", "state": {}, "made_from": ()},
    ],
)
def test_a_state_changes_no_stand_in_but_is_kept_beside_it(state):
    before = {name: vars(Record)[name] for name in vars(Record)}
    packed = pickle.dumps(state, protocol=2)[2:-1]  # without its beginning and end
    found = read_inert_pickle(b"\x80\x04" + DOCUMENT + b")\x81" + packed + b"b.")
    assert (type(found), found.kind, found.state) == (Record, "document", state)
    assert {name: vars(Record)[name] for name in vars(Record)} == before


@pytest.mark.parametrize("target", [DOCUMENT, b"}", b"K\x01", b"\x8c\x01a"])
def test_a_state_is_set_on_stand_ins_only(target):
    # Python's own reader would set attributes of the class, or of whatever has a __dict__
    with pytest.raises(OldStoreError):
        read_inert_pickle(b"\x80\x04" + target + b"}\x8c\x08__init__K\x01sb.")


@named(
    {
        "lists in lists": b"]" * 200_000 + b"a" * 199_999 + b".",
        "marks": b"(" * 200_000 + b".",
        "empty sets": b"\x80\x04(" + b"\x8f0" * 50_000 + b"t.",
        "memo": b"\x80\x04N" + b"\x94" * 100_000 + b".",
        "a number of a million bits": b"\x8b" + (130_000).to_bytes(4, "little") + b"\x7f" * 130_000 + b".",
        "a text that is not there": b"\x8d" + (1 << 62).to_bytes(8, "little") + b"a.",
        "bytes that are not there": b"\x8e" + (1 << 62).to_bytes(8, "little") + b"a.",
        "a negative length": b"\x8b\xff\xff\xff\xff.",
        "a deep tuple as a key": b"}N" + b"\x85" * 100_000 + b"Ns.",
        "a deep tuple in a set": b"\x80\x04\x8f(N" + b"\x85" * 100_000 + b"\x90.",
        "a deep tuple in a frozenset": b"\x80\x04(N" + b"\x85" * 100_000 + b"\x91.",
        "a deep tuple as a numpy type": b"cnumpy\ndtype\nN" + b"\x85" * 100_000 + b"\x85R.",
        "lists doubled in memory": b"\x80\x04]\x94" + b"(" + b"h\x00" * 90_000 + b"e" + b"(" * 150_000 + b".",
        "no end": b"K\x01",
        "nothing": b"",
        "two values": b"K\x01K\x02.",
        "more after the end": b"K\x01.K\x02",
        "an unknown value": b"h\x07.",
        "too few values": b"\x86.",
        "values below the mark": b"K\x01(\x85.",
        "no mark": b"K\x01t.",
        "half a pair": b"}(K\x01u.",
        "appending to a tuple": b")K\x01a.",
        "keeping nothing": b"\x94.",
        "no text": b"\x8c\x01\xff.",
        "no pickle": b"just some text, hello",
    }
)
def test_bombs_and_nonsense_end_with_a_typed_error(data, monkeypatch):
    monkeypatch.setattr(SizeBudget, "_FREE_BYTES", 1 << 20)  # what is free beyond the size takes seconds to use up
    with pytest.raises(OldStoreError):
        read_inert_pickle(data)


def _store_pickle(documents, places=b"}"):
    """A pickle of a store; `documents` fills its dictionary."""
    return b"\x80\x04" + DOCSTORE + b")\x81}\x8c\x05_dict}" + documents + b"sb" + places + b"\x86."


def _document_pickle(number, fields):
    return b"\x8c\x04%04d" % number + DOCUMENT + b")\x81}\x8c\x08__dict__}(" + fields + b"usbs"


def test_one_large_text_in_thousands_of_documents_is_refused(tmp_path):
    text = b"X" + (900_000).to_bytes(4, "little") + b"a" * 900_000 + b"\x940"  # kept as number 0 and dropped
    documents = b"".join(_document_pickle(number, b"\x8c\x0cpage_contenth\x00") for number in range(2_000))
    path = tmp_path / "index.pkl"
    path.write_bytes(_store_pickle(documents).replace(b"\x80\x04", b"\x80\x04" + text, 1))
    with pytest.raises(OldStoreError, match="64 times its size"):
        read_documents_pickle(path)


def test_metadata_that_double_at_each_level_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(SizeBudget, "_FREE_BYTES", 1 << 20)  # what is free beyond the size takes seconds to use up
    doubled = b"]\x94" + b"".join(b"0](h%ch%ce\x94" % (level, level) for level in range(27))
    fields = b"\x8c\x0cpage_content\x8c\x01a\x8c\x08metadata}\x8c\x01x" + doubled + b"s"
    path = tmp_path / "index.pkl"
    path.write_bytes(_store_pickle(_document_pickle(1, fields)))
    with pytest.raises(OldStoreError, match="64 times its size"):
        read_documents_pickle(path)


def test_metadata_nested_deep_or_in_itself_leave_their_document_out(tmp_path):
    start = b"\x8c\x0cpage_content\x8c\x01a\x8c\x08metadata}\x8c\x01x"
    documents = [
        _document_pickle(1, start + b"N" + b"\x85" * 100_000 + b"s"),
        _document_pickle(2, start + b"]\x94h\x00as"),
        _document_pickle(3, start + b"Ns"),
    ]
    path = tmp_path / "index.pkl"
    path.write_bytes(_store_pickle(b"".join(documents)))
    found, _, skipped = read_documents_pickle(path)
    assert list(found) == ["0003"]
    assert {id_: "levels deep" in reason for id_, reason in skipped.items()} == {"0001": True, "0002": True}


# --- what is genuine

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.text())
    ),
    max_leaves=30,
)


@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_come_back_as_they_were(value, protocol):
    if protocol < 4:
        value = repr(value)  # sets and bytes need names there that are refused or converted
    assert read_inert_pickle(pickle.dumps(value, protocol=protocol)) == value


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """The pickle of a store as the old class saves it."""
    folder = tmp_path_factory.mktemp("genuine")
    texts = ["red shoe", "blue sky", "七天内可以退货"]
    metadata = [{"price": 40, "tags": {"a", "b"}}, {"nested": {"x": [1.5, None, True]}}, {}]
    old_class().from_texts(texts, HashedEmbeddings(dimension=8), metadata).save_local(str(folder))
    return (folder / "index.pkl").read_bytes()


def test_a_genuine_pickle_gives_its_documents(genuine, tmp_path):
    (tmp_path / "index.pkl").write_bytes(genuine)
    documents, places, skipped = read_documents_pickle(tmp_path / "index.pkl")
    assert [document.text for document in documents.values()] == ["red shoe", "blue sky", "七天内可以退货"]
    assert [document.metadata for document in documents.values()] == [
        {"price": 40, "tags": ["a", "b"]},
        {"nested": {"x": [1.5, None, True]}},
        {},
    ]
    assert (list(places.values()), skipped) == (list(documents), {})


@given(st.data())
def test_a_changed_pickle_gives_documents_or_a_typed_error(genuine, tmp_path_factory, data):
    changed = bytearray(genuine)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "delete", "cut"]))
        if kind == "set":
            changed[place] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            changed[place:place] = data.draw(st.binary(max_size=8))
        else:
            del changed[place : len(changed) if kind == "cut" else place + data.draw(st.integers(1, 8))]
        if not changed:
            break
    path = tmp_path_factory.mktemp("changed") / "index.pkl"
    path.write_bytes(bytes(changed))
    try:
        documents, places, skipped = read_documents_pickle(path)
    except OldStoreError:
        return
    assert all(type(document.text) is str and type(document.metadata) is dict for document in documents.values())
    assert (type(places), type(skipped)) == (dict, dict)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_typed_error(data):
    try:
        read_inert_pickle(data)
    except OldStoreError:
        return


def test_reading_a_pickle_imports_nothing_that_it_names(genuine, tmp_path):
    (tmp_path / "index.pkl").write_bytes(genuine)
    program = (
        "import sys; from pathlib import Path;"
        "from retrievers.importing.pickled_documents import read_documents_pickle;"
        "read_documents_pickle(Path(sys.argv[1])); print('langchain_community' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    arguments = [sys.executable, "-c", program, str(tmp_path / "index.pkl")]
    assert subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_json_cannot_hold_is_named():
    for value, reason in ((b"x", "bytes"), ({b"x": 1}, "a key is bytes"), (Record("docstore"), "docstore")):
        with pytest.raises(ValueError, match=reason):
            plain_value(value, lambda size: None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b", "a"}, ["a", "b"]),
        (frozenset({1, 2}), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T00:00:00+02:00"),
        (PureWindowsPath("c:/docs/a.md"), "c:\\docs\\a.md"),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_metadata_often_hold_becomes_json(value, expected, protocol):
    assert plain_value(read_inert_pickle(pickle.dumps(value, protocol=protocol)), lambda size: None) == expected


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("set", ([("deep",)],)),
        ("set", ("abc",)),
        ("mapping", ([],)),
        ("date", (b"abc",)),
        ("date", ()),
        ("datetime", (b"\x07\xe8\x01\x02\x00\x00\x00\x00\x00\x00", "a zone")),
        ("datetime", (b"\x07\xe8\x01\x02\xff\x00\x00\x00\x00\x00",)),
        ("timedelta", (1, 2.0, 3)),
        ("timedelta", (10**12, 0, 0)),
        ("timezone", ("two hours",)),
        ("decimal", (1,)),
        ("posix path", (b"a",)),
        ("numpy dtype", ("O8",)),
        ("numpy dtype", ()),
        ("numpy scalar", ("f8", b"12345678")),
        ("numpy scalar", (Record("numpy dtype", ("f8",)), b"123")),
        ("numpy scalar", (Record("numpy dtype", ("f8",), state=(3, "O")), b"12345678")),
        ("document", ()),
    ],
)
def test_an_allowed_class_called_with_what_it_does_not_take_is_refused(kind, arguments):
    with pytest.raises(UnsafePickleError, match=f"it holds a '{kind}' that is called"):
        call_name(Name(kind), arguments)


@pytest.mark.parametrize("state", [None, {}, {"int": "5"}, {"int": -1}, ("int", 5)])
def test_a_uuid_without_its_number_is_no_json(state):
    with pytest.raises(ValueError, match=r"UUID|int is out of range|int must"):
        plain_value(Record("uuid", state=state), lambda size: None)
