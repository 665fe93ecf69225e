"""Parquet files: read as CSV and JSONL are, faults by row; without pyarrow the message says what to install."""

import builtins
import contextlib
from datetime import UTC, datetime

import pytest

from llms.errors import DataFileError
from llms.finetuning.data.conversations import read_conversations
from llms.finetuning.data.examples import LabelledText, MultiLabelText
from llms.finetuning.data.labelled_files import read_labelled_texts, read_multi_label_texts
from llms.finetuning.data.tables import read_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def write(tmp_path):
    """A function columns -> path of a Parquet file with them."""

    def write_file(columns):
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write_file


def test_rows_come_with_text_and_label(write):
    path = write({"id": [1, 2], "text": [" my card ", "退货"], "label": pa.array(["lost", "退"]).dictionary_encode()})
    assert read_labelled_texts(path).rows == [LabelledText("my card", "lost"), LabelledText("退货", "退")]


def test_bad_rows_are_set_aside_with_their_number(write):
    not_utf8 = pa.array([b"a", b"\xff", b"c", b"d", b"e", b"f\x00", b"g"]).view(pa.string())
    path = write({"text": not_utf8, "label": ["x", "x", None, "x", "y", "x", "y"]})
    read = read_labelled_texts(path)
    assert [row.line for row in read.rows] == [1, 4, 5, 7]
    assert [row.line for row in read.rejected] == [2, 3, 6]
    reasons = ("text: bytes that are not UTF-8", "empty label", "text: text holds a NUL")
    assert all(row.reason.startswith(reason) for row, reason in zip(read.rejected, reasons, strict=True))


def test_a_bad_text_deep_in_a_row_sets_that_row_aside(write):
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), pa.array([b"x", b"\xff"]).view(pa.string()))
    read = read_multi_label_texts(write({"text": ["a", "b"], "labels": lists}))
    assert read.rows == [MultiLabelText("a", ("x",))]
    assert [(row.line, row.reason) for row in read.rejected] == [(2, "labels: bytes that are not UTF-8")]


def test_times_may_be_dates_or_instants_of_any_unit(write):
    nanoseconds = pa.array([1, 2_000_000_001], type=pa.timestamp("ns"))
    path = write({"text": ["a", "b"], "label": ["x", "y"], "time": nanoseconds})
    times = [row.time for row in read_labelled_texts(path, time_column="time").rows]
    assert times == [datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)]
    dates = pa.array([20_000, 20_001], type=pa.date32())
    rows = read_labelled_texts(write({"text": ["a", "b"], "label": ["x", "y"], "t": dates}), time_column="t").rows
    assert rows[0].time == datetime(2024, 10, 4, tzinfo=UTC)


def test_conversations_come_without_the_keys_a_message_lacks(write):
    call = {"type": "function", "id": "1", "function": {"name": "look", "arguments": '{"at": 1}'}}
    messages = [
        {"role": "user", "content": "Where?", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    (row,) = read_conversations(write({"messages": [messages]})).rows
    assert row.messages[0] == {"role": "user", "content": "Where?"}
    assert row.messages[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": {"at": 1}}


def test_a_missing_column_no_rows_and_another_kind_of_file_are_refused(write, tmp_path):
    with pytest.raises(DataFileError, match=r"has the columns \['text'\], but 'label' is needed"):
        read_labelled_texts(write({"text": ["a"]}))
    with pytest.raises(DataFileError, match="no rows"):
        read_table(write({"text": pa.array([], type=pa.string())}), ["text"])
    (tmp_path / "not.parquet").write_bytes(b"text,label\na,x\n")
    with pytest.raises(DataFileError, match="is no Parquet file, or a damaged one"):
        read_table(tmp_path / "not.parquet", ["text"])


def test_damaged_files_are_refused_but_never_crash(write):
    path = write({"text": [f"text {i}" for i in range(300)], "label": ["x"] * 300})
    whole = path.read_bytes()
    for place in range(4, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(DataFileError):
            read_labelled_texts(path)


def test_without_pyarrow_the_error_says_what_to_install(write, monkeypatch):
    path = write({"text": ["a"]})
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataFileError, match="pip install pyarrow"):
        read_table(path, ["text"])
