"""Files of records: what is read, what is set aside with its line, what is refused whole."""

import csv
import hashlib
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import DataFileError, OptionValueError, TrainingDataError
from llms.finetuning.data.examples import LabelledText, LabelledTexts, MultiLabelText, MultiLabelTexts
from llms.finetuning.data.labelled_files import check_training_rows, read_labelled_texts, read_multi_label_texts
from llms.finetuning.data.tables import RejectedRow, read_table

GOOD = "".join(f"text {i},label {i % 2}\n" for i in range(10))


@pytest.fixture
def write(tmp_path):
    """A function bytes or text -> path of a file with them."""

    def write_file(content, name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write_file


def _rejected(path):
    return read_labelled_texts(path).rejected


def test_rows_come_with_text_and_label_and_without_outer_white_space(write):
    path = write("id,text,label\n1, my card ,lost\n2,退货要多久？,退货\n")
    assert read_labelled_texts(path).rows == [LabelledText("my card", "lost"), LabelledText("退货要多久？", "退货")]


def test_json_lines_are_read_as_csv_is(write):
    path = write('{"text": "a", "label": "x"}\r\n\n{"text": "b", "label": 1}\n', "rows.jsonl")
    assert read_labelled_texts(path).rows == [LabelledText("a", "x"), LabelledText("b", "1")]


def test_columns_may_have_other_names(write):
    path = write("question,intent\nwhere,place\n")
    labelled = read_labelled_texts(path, text_column="question", label_column="intent")
    assert labelled.rows == [LabelledText("where", "place")]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_byte_order_mark_is_skipped(write, suffix):
    content = {"csv": "text,label\na,x\n", "jsonl": '{"text": "a", "label": "x"}\n'}[suffix]
    path = write(b"\xef\xbb\xbf" + content.encode(), f"rows.{suffix}")
    assert read_labelled_texts(path).rows == [LabelledText("a", "x")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"text,label\n", "has a header but no rows"),
        (b"text,category\na,x\n", r"has the columns \['text', 'category'\], but 'label' is needed"),
        ("text,label\na,x\n".encode("utf-16-le"), "can be read as UTF-16LE .*iconv -f UTF-16LE -t UTF-8"),
        ("文本,标签\n退货要多久,退货\n".encode("gb18030"), r"rows\.csv .* GB18030, which Chinese .*iconv -f GB18030"),
        ("text,label\n退货要多久,退货\n我的卡丢了,丢失\n".encode("gb18030"), "GB18030.*iconv -f GB18030 -t UTF-8"),
        (b"text,label,label\na,x,y\n", "names the column 'label' twice, as column 2 and column 3"),
        (b"text,,label\na,note,x\n", "has no name for column 2, which holds 'note'"),
        (b"text,label\na\nb\nc,x\n", "2 of 3 rows .* the first in line 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(write, content, reason):
    with pytest.raises(DataFileError, match=reason):
        read_labelled_texts(write(content))


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused(tmp_path, write):
    with pytest.raises(DataFileError, match="there is no file"):
        read_table(tmp_path / "none.csv", ["text"])
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataFileError, match="cannot be read"):
        read_table(tmp_path / "folder.csv", ["text"])
    with pytest.raises(DataFileError, match=r"neither \.csv, \.jsonl, \.json nor \.parquet"):
        read_table(write("text\na\n", "rows.xlsx"), ["text"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("退货,x\n".encode("gb18030"), "text: bytes that are not UTF-8"),
        (b"a\x00b,x\n", "text: text holds a NUL character at position 1"),
        (b"a" * 1_000_000 + b",x\n", "text: text has 1,000,000 characters, at most 20,000"),
        (b"a\n", "1 cells where the header has 2"),
        (b"a,b,x\n", "3 cells where the header has 2"),
        (b"   ,x\n", "empty text"),
        (b"a,\n", "empty label"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_with_its_line(write, row, reason):
    path = write(b"text,label\n" + GOOD.encode() + row + GOOD.encode())
    labelled = read_labelled_texts(path)
    assert len(labelled.rows) == 20
    assert [rejected.line for rejected in labelled.rejected] == [12]
    assert labelled.rejected[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (r'{"text": "a\ud800", "label": "x"}', "text: text holds a lone surrogate at position 1"),
        (r'{"text": "a\u0000", "label": "x"}', "text: text holds a NUL"),
        ('["a", "x"]', "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ('{"text": "a", "label": ', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"text": "a"}', "no 'label'"),
        ('{"text": "a", "label": null}', "empty label"),
        ('{"text": ["a"], "label": "x"}', "empty text, or no text"),
    ],
)
def test_a_json_line_that_cannot_be_used_is_set_aside_with_its_line(write, row, reason):
    good = '{"text": "a", "label": "x"}\n'
    rejected = _rejected(write(good * 3 + row + "\n" + good, "rows.jsonl"))
    assert [entry.line for entry in rejected] == [4]
    assert rejected[0].reason.startswith(reason)


def test_quoted_newlines_and_empty_lines_keep_line_numbers_right(write):
    path = write('text,label\n"two\nlines",x\n\n"three\n\nlines",y\nonly one cell\na,x\n')
    table = read_table(path, ["text", "label"])
    assert [row.line for row in table.rows] == [2, 5, 9]
    assert [row.line for row in table.rejected] == [8]


def test_an_open_quote_says_which_lines_it_swallowed(write):
    (rejected,) = _rejected(write(f'text,label\n{GOOD}"open,x\n{GOOD}'))
    assert (rejected.line, rejected.reason) == (12, "a quote is opened and never closed in lines 12 to 22")


def test_rejected_rows_stand_in_the_order_of_their_lines(write):
    path = write(f"text,label\n,x\n{GOOD}one cell\na,\n")
    assert [rejected.line for rejected in _rejected(path)] == [2, 13, 14]


def test_equal_rows_have_equal_hashes_and_others_not(write):
    first, second, third = (read_labelled_texts(write(f"text,label\n{row}\n")) for row in ("a,x", "a,x", "a,y"))
    assert first.sha256 == second.sha256 != third.sha256


def test_the_hash_of_rows_without_group_and_time_is_that_of_text_and_label_alone():
    plain = LabelledTexts([LabelledText("a", "x", line=7)])
    assert plain.sha256 == hashlib.sha256(b"a\x1fx\x1e").hexdigest()
    others = [LabelledText("a", "x", group="g"), LabelledText("a", "x", time=datetime(2026, 1, 1, tzinfo=UTC))]
    assert len({plain.sha256, *(LabelledTexts([row]).sha256 for row in others)}) == 3


def test_groups_and_times_come_with_the_rows(write):
    path = write("text,label,author,day\na,x,ann,2026-01-02\nb,y,bob,2026-01-02T03:04:05+08:00\n")
    rows = read_labelled_texts(path, group_column="author", time_column="day").rows
    assert [row.group for row in rows] == ["ann", "bob"]
    assert rows[0].time == datetime(2026, 1, 2, tzinfo=UTC)
    assert rows[1].time == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize(
    ("row", "reason"),
    [("a,x,,2026-01-02", "empty author"), ("a,x,ann,tomorrow", "day: 'tomorrow' is no time in ISO 8601")],
)
def test_a_row_without_group_or_with_another_time_is_set_aside(write, row, reason):
    path = write(f"text,label,author,day\n{row}\nb,y,bob,2026-01-02\n")
    (rejected,) = read_labelled_texts(path, group_column="author", time_column="day").rejected
    assert (rejected.line, rejected.reason[: len(reason)]) == (2, reason)


def test_a_text_may_have_several_labels_or_none(write):
    path = write("text,labels\na,late| broken|late\nb,\nc,|late\n")
    rows = read_multi_label_texts(path).rows
    assert [row.labels for row in rows] == [("broken", "late"), (), ("late",)]
    assert read_multi_label_texts(write("text,tags\na,x;y\n"), label_column="tags", separator=";").rows == [
        MultiLabelText("a", ("x", "y"))
    ]


def test_labels_in_json_are_a_list_or_a_text(write):
    good = [{"text": "a", "labels": ["y", "x", "y"]}, {"text": "b", "labels": []}, {"text": "c", "labels": "x|y"}]
    bad = [{"text": "d", "labels": None}, {"text": "e", "labels": ["x", None]}, {"text": "f", "labels": ["x\x00"]}]
    read = read_multi_label_texts(write("\n".join(map(json.dumps, good + bad)), "rows.jsonl"))
    assert read.rows == [MultiLabelText("a", ("x", "y")), MultiLabelText("b"), MultiLabelText("c", ("x", "y"))]
    assert [entry.line for entry in read.rejected] == [4, 5, 6]
    assert "give an empty list for no label" in read.rejected[0].reason
    assert "NUL" in read.rejected[2].reason


def test_an_empty_separator_and_labels_that_are_a_text_are_refused(write):
    with pytest.raises(OptionValueError, match="separator"):
        read_multi_label_texts(write("text,labels\na,x\n"), separator="")
    with pytest.raises(TrainingDataError, match="must be a tuple"):
        MultiLabelText("a", "late")


def test_equal_multi_label_rows_have_equal_hashes_and_others_not():
    first, second = MultiLabelText("a", ("x", "y")), MultiLabelText("a", ("y", "x"))
    assert MultiLabelTexts([first]).sha256 == MultiLabelTexts([second]).sha256
    assert MultiLabelTexts([first]).sha256 != MultiLabelTexts([MultiLabelText("a", ("x",))]).sha256


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([(), ()], "at least one label"),
        ([("x",), ("x", "y")], "single example: 'y'"),
        ([("x",), ("x",)], "every row has the label 'x'"),
    ],
)
def test_multi_label_rows_that_teach_nothing_are_refused(labels, reason):
    with pytest.raises(TrainingDataError, match=reason):
        check_training_rows([MultiLabelText(f"text {i}", found) for i, found in enumerate(labels)])
    check_training_rows([MultiLabelText("a", ("x",)), MultiLabelText("b", ("x",)), MultiLabelText("c")])


_cells = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(_cells, _cells), min_size=1, max_size=12))
def test_no_csv_row_is_ever_lost(tmp_path_factory, records):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("text", "label"), *records])
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(buffer.getvalue().encode("utf-8"))
    _assert_complete(path, [dict(zip(("text", "label"), record, strict=True)) for record in records])


@given(st.lists(st.dictionaries(st.sampled_from(["text", "label", "more"]), _cells | st.none() | st.integers())))
def test_no_json_line_is_ever_lost(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    _assert_complete(path, records)


def _assert_complete(path, records):
    try:
        table = read_table(path, ["text", "label"])
    except DataFileError:  # more than half of them cannot be used, which is said with the first reason
        return
    assert len(table.rows) + len(table.rejected) == len(records)
    readable = [record for record in records if {"text", "label"} <= set(record)]
    readable = [record for record in readable if not any("\x00" in str(record[name]) for name in ("text", "label"))]
    assert [row.values for row in table.rows] == readable
    assert all(isinstance(entry, RejectedRow) and entry.reason for entry in table.rejected)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_crash(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "rows.csv"
    path.write_bytes(b"text,label\na,x\nb,y\n" + content)
    try:
        labelled = read_labelled_texts(path)
    except DataFileError:
        return
    assert labelled.rows[:1] == [LabelledText("a", "x")]
