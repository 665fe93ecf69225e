"""Bytes, CSV and JSON of files: what is read, and what a refusal says."""

import contextlib
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import DataFileError, TextEncodingError
from llms.texts import CsvTable, decode_rows, decode_text, guarded_row, json_records

TEXTS = {
    "English": "Returns are free of charge.\n",
    "Chinese": "退货须知：七天内可以退货。",
    "traditional Chinese": "退貨須知，七天內可以退貨",
    "Japanese": "ありがとうございます。",
    "Russian": "Привет, мир\n",
}
MARKED = ["utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("codec", ["utf-8", *MARKED])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_utf8_and_texts_with_a_mark_are_read(codec, text):
    assert decode_text(text.encode(codec)) == text
    assert decode_rows(text.encode(codec)) == (text, "")


@pytest.mark.parametrize("mark", [b"\xfe\xff", b"\x00\x00\xfe\xff"])
def test_marks_of_the_other_byte_order_are_read(mark):
    codec = "utf-16-be" if len(mark) == 2 else "utf-32-be"
    assert decode_text(mark + "退货".encode(codec)) == "退货"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("read", [decode_text, decode_rows])
def test_wide_encodings_without_a_mark_are_named_with_the_command(read, codec, text):
    name = codec.upper()[:6] + codec.upper()[7:]
    with pytest.raises(TextEncodingError, match=f'can be read as {name} without .*"iconv -f {name} -t UTF-8') as caught:
        read(text.encode(codec))
    assert "remove it" not in str(caught.value)


@pytest.mark.parametrize("text", ["退货", "文本,标签\n退货要多久,退货\n", "T恤和鞋子都可以退货吗?\n是的"])
def test_gb18030_is_named_with_the_command(text):
    with pytest.raises(TextEncodingError, match=r'GB18030, which Chinese .*"iconv -f GB18030 -t UTF-8'):
        decode_text(text.encode("gb18030"))


def test_accented_letters_of_western_programs_are_not_called_chinese():
    with pytest.raises(TextEncodingError, match="WINDOWS-1252"):
        decode_text("Größe: 3 €, Rückgabe".encode("cp1252"))


@pytest.mark.parametrize(
    "raw", ["退貨須知，七天\n".encode("big5") * 3, "退货\n".encode() * 5 + b"\xcd\xcb", b"good, \xff\n"]
)
def test_what_is_no_everyday_text_in_any_encoding_is_not_guessed(raw):
    with pytest.raises(TextEncodingError, match="save it as UTF-8") as caught:
        decode_text(raw)
    assert "read as" not in str(caught.value)


def test_a_mark_that_stands_twice_is_no_text():
    assert decode_text(b"\xef\xbb\xbf\xef\xbb\xbf# Title") == "# Title"


def test_a_single_nul_is_no_sign_of_another_encoding():
    assert decode_text(b"a\x00b,x\n") == "a\x00b,x\n"


def test_a_bad_byte_harms_no_other_row():
    text, problem = decode_rows("退货\n".encode() * 3 + b"\xff\r\n")
    assert text == "退货\n" * 3 + "\udcff\r\n"
    assert "byte 0xff at position 21" in problem


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(raw):
    with contextlib.suppress(TextEncodingError):
        assert "\r" not in decode_text(raw)


def _rows(text):
    return [row.values for row in CsvTable(text).rows()]


@pytest.mark.parametrize(
    "text",
    [
        'text,label\n"late; again",x\n',
        "text;label\nlate, again;x\n",
        "text\tlabel\nlate, again\tx\n",
        "text|label\nlate, again|x\n",
        "sep=;\ntext;label\nlate, again;x\n",
        '"sep=|"\r\ntext|label\r\nlate, again|x\r\n',
        "\n\n text ; label \nlate, again;x\n",
        "\ufefftext;\u200blabel\nlate, again;x\n",
    ],
)
def test_the_delimiter_is_found_and_names_are_stripped(text):
    (row,) = _rows(text)
    assert list(row) == ["text", "label"]
    assert (row["text"][:4], row["label"]) == ("late", "x")


@pytest.mark.parametrize(
    "text",
    [
        '"name, first";answer\nA;Two days\n',
        "name, first;answer\nA;Two days, at most\nB;Three\nC;Four\n",
        'name, first;"answer, or none"\nA;x\n',
    ],
)
def test_a_comma_in_the_header_does_not_outweigh_what_divides_the_rows(text):
    assert next(iter(_rows(text)[0])) == "name, first"


def test_a_line_that_names_the_delimiter_counts_as_a_line():
    assert [row.line for row in CsvTable('sep=;\na;b\n1;2\n"x\ny";3\n4;5\n').rows()] == [3, 4, 6]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (",text,label\n0,a,x\n1,b,y\n", ["text", "label"]),
        (",text,label\n17,a,x\n4,b,y\n", ["text", "label"]),
        ("text,label,\na,x,\nb,y,\n", ["text", "label"]),
        ("text,,label,,\na,,x,,\n", ["text", "label"]),
        ("Unnamed: 0,text\n0,a\n1,b\n", ["text"]),
        ("Unnamed: 0,text\nfoo,a\nbar,b\n", ["Unnamed: 0", "text"]),
        (";text\n0;a\n", ["text"]),
    ],
)
def test_a_column_without_a_name_is_left_out_if_it_is_empty_or_numbers_the_rows(text, header):
    table = CsvTable(text)
    assert table.header == header
    assert all(list(row.values) == header and not row.problem for row in table.rows())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("text,label,label\na,x,y\n", "names the column 'label' twice, as column 2 and column 3"),
        ("text, text\na,x\n", "names the column 'text' twice, as column 1 and column 2"),
        ("text,\na,note\n", "no name for column 2, which holds 'note'"),
        (",text\n5,a\n5,b\n", "no name for column 1, which holds '5'"),
        ("text,\na,0\nb,1\n", "no name for column 2"),
        ('"text,label\na,x\n', "header that cannot be read: a quote is opened and never closed"),
    ],
)
def test_a_table_whose_columns_are_not_clear_is_refused(text, reason):
    with pytest.raises(DataFileError, match=reason):
        CsvTable(text)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a,b\n1\n2,3\n", ["1 cells where the header has 2; is a quote or a comma missing?", ""]),
        ("a;b\n1;2;3\n", ["3 cells where the header has 2; is a quote or a semicolon missing?"]),
        ('a,b\n"1"x,2\n3,4\n', ['text stands behind a closing quote; write "" for a quote within a quoted cell', ""]),
        ('a,b\n1,2\n"3,4\n5,6\n', ["", "a quote is opened and never closed in lines 3 to 4"]),
        ('a,b\n5" screen,2\n', [""]),
        ("Price list 2026\na,b\n", ["2 cells where the header has 1; does the first line name the columns?"]),
    ],
)
def test_a_row_that_cannot_be_used_says_why_and_the_next_is_read(text, problems):
    assert [row.problem for row in CsvTable(text).rows()] == problems


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module():
    assert _rows("text\n" + "a" * 200_000) == [{"text": "a" * 200_000}]


RECORDS = [{"text": "退货", "n": 1}, {"text": "x]\n[", "n": [1, {"a": "}"}]}, {"text": "", "n": None}]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, RECORDS)),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2, ensure_ascii=False),
        "\n\n".join(json.dumps(record, indent=1) for record in RECORDS),
        "  \r\n" + ",\r\n".join(map(json.dumps, RECORDS)).join("[]") + "\r\n",
    ],
)
def test_records_are_read_from_lines_an_array_and_over_several_lines(text):
    found = list(json_records(text))
    assert [record.value for record in found] == RECORDS
    assert len({record.line for record in found}) == len(RECORDS)


@pytest.mark.parametrize(
    ("text", "lines", "problem"),
    [
        ('{"a": 1}\n{"a": \n{"a": 3}\n', [1, 2, 3], "Expecting value at character 7"),
        ('{"a": 1}\n{"a": 1, "a": 2}\n{"a": 3}\n', [1, 2, 3], "the key 'a' is given twice"),
        ('{\n"a": 1}\n{\n"a" 2}\n{\n"a": 3}\n', [1, 3, 5], "Expecting ':' delimiter at line 4, character 5"),
        ('{"a": 1}\n{"a": 2} {"a": 3}\n{"a": 4}\n', [1, 2, 3], "more than one value"),
    ],
)
def test_a_record_that_is_no_json_is_a_problem_of_its_own(text, lines, problem):
    found = list(json_records(text))
    assert [record.line for record in found] == lines
    assert [problem in record.problem for record in found] == [False, True, False]


@pytest.mark.parametrize("text", ['[{"a": 1},\n{"a": }, {"a": 3}]', '[{"a": 1}', '[{"a": 1} {"a": 2}]'])
def test_a_broken_array_says_that_nothing_behind_the_fault_is_read(text):
    *_, last = json_records(text)
    assert last.problem.endswith("nothing behind it is read")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, '[{"a": ' * 50_000])
def test_nesting_without_end_is_a_problem_of_its_record(text):
    (record,) = json_records(text)
    assert "nested too deeply" in record.problem


def test_nan_is_a_float_unless_the_reader_is_strict():
    (record,) = json_records('{"a": NaN}')
    assert record.value["a"] != record.value["a"]
    (strict,) = json_records('{"a": NaN}', is_strict=True)
    assert strict.problem == "not valid JSON: NaN is no JSON number"


@given(st.text(alphabet="'=+-@＝＋－＠\t\r\nab,\"", max_size=8))
def test_no_cell_that_we_write_is_a_formula_and_all_are_read_back(cell):
    (guarded,) = guarded_row([cell])
    assert guarded.lstrip("'")[:1] not in set("=+-@＝＋－＠\t\r\n") or guarded.startswith("'")
    lines = io.StringIO()
    csv.writer(lines).writerows([["text", "n"], [guarded, "1"]])
    assert [row.values["text"] for row in CsvTable(lines.getvalue()).rows()] == [cell]
