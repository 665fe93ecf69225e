"""CSV and JSON lines: a document per row, and errors that name the row."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers import read_documents
from retrievers.errors import DocumentError, NoTextError
from retrievers.readers.rows import read_json_lines, row_metadata, row_text
from tests.retrievers.files import write_file


def _read(tmp_path, name, content):
    return [
        (document.page_content, document.metadata)
        for document in read_documents([write_file(tmp_path / name, content)])
    ]


def test_a_row_with_a_text_column_keeps_the_others_as_metadata(tmp_path):
    content = '\ufefftext,lang\n"七天内，\n可以退货。",zh\n\nSeven days.,en\n'
    assert _read(tmp_path, "faq.csv", content) == [
        ("七天内，\n可以退货。", {"lang": "zh", "source": "faq.csv", "row": 1, "title": "faq"}),
        ("Seven days.", {"lang": "en", "source": "faq.csv", "row": 2, "title": "faq"}),
    ]


def test_a_row_without_one_is_a_line_per_column(tmp_path):
    ((text, metadata),) = _read(tmp_path, "a.csv", "名称;价格;empty\n水壶;5,00;\n")
    assert text == "名称: 水壶\n价格: 5,00"
    assert metadata == {"名称": "水壶", "价格": "5,00", "empty": "", "source": "a.csv", "row": 1, "title": "a"}


def test_json_values_keep_their_kind_and_rows_count_as_lines(tmp_path):
    row = {"content": "退货", "price": 5.5, "tags": ["x"], "on": True, "title": "T", "source": "shop", "none": None}
    ((text, metadata),) = _read(tmp_path, "a.jsonl", f"\n{json.dumps(row)}\n")
    assert text == "退货"
    own = {"source": "a.jsonl", "row": 2, "title": "T"}
    assert metadata == {"price": 5.5, "tags": ["x"], "on": True, "column_source": "shop", "none": None} | own


def test_a_long_value_is_no_metadata():
    assert row_metadata({"text": "x", "short": "y", "long": "z" * 1001}) == {"short": "y"}
    assert row_text({"n": 1, "list": ["退"], "none": None}) == 'n: 1\nlist: ["退"]'


@pytest.mark.parametrize(("name", "content"), [("a.csv", ""), ("b.csv", "text\n"), ("c.jsonl", "\n")])
def test_a_file_without_rows_is_refused_as_one_without_text(tmp_path, name, content):
    with pytest.raises(NoTextError, match=rf"{name} has no rows"):
        _read(tmp_path, name, content)


def test_a_long_csv_cell_is_a_document(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"text\n{'x' * 140_000}\n", encoding="utf-8")
    (document,) = read_documents([path])
    assert len(document.page_content) == 140_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,b\nx,1\ny\n", r"a\.csv row 2 \(line 3\): 1 cells where the header has 2"),
        ("text,b\nx,1,2\n", r"row 1 \(line 2\): 3 cells where the header has 2"),
        ('text,b\n"open,1\n', r"row 1 \(line 2\): a quote is opened and never closed"),
        ('text,b\nx,"1"y\n', r"row 1 \(line 2\): text stands behind a closing quote"),
        ("text,text\nx,1\n", "names the column 'text' twice, as column 1 and column 2"),
        ("text,\nx,1\n", "no name for column 2"),
    ],
)
def test_a_bad_csv_row_is_named(tmp_path, content, reason):
    with pytest.raises(DocumentError, match=reason):
        _read(tmp_path, "a.csv", content)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": NaN}', "NaN is no JSON number"),
        ('{"text": "x", "n": -Infinity}', "-Infinity is no JSON number"),
        ('{"text": "x", "n": 1e999}', "1e999 is too large"),
        ('{"text": "x", "text": "y"}', "'text' is given twice"),
        ('{"text": "x", "a": {"b": 1, "b": 2}}', "'b' is given twice"),
        ('{"text": "x", "a": "\\ud800"}', "lone surrogate"),
        ('{"text": "x", "\\ud800": "a"}', "lone surrogate"),
        ('{"text": "x\\u0000"}', "NUL"),
        ('{"text": 5}', "'text' must be a text, got int"),
        ('{"text": null}', "'text' must be a text, got NoneType"),
        ('["text"]', "expected an object, got list"),
        ('{"text": "x"', "Expecting"),
        ('{"text": "x", "n": ' + "1" * 5000 + "}", "digits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"text": "x", "a": ' + "[" * 30 + "]" * 30 + "}", "nested more than 20 deep"),
    ],
)
def test_a_bad_json_row_is_named(tmp_path, line, reason):
    with pytest.raises(DocumentError, match=rf"a\.jsonl row 2.*{reason}"):
        _read(tmp_path, "a.jsonl", f'{{"text": "good"}}\n{line}\n')


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), _values, max_size=4))
def test_any_json_object_is_read_as_it_is_or_refused(row):
    try:
        ((_, read),) = read_json_lines(json.dumps(row).encode())
    except DocumentError:
        assert "\\u0000" in json.dumps(row)
    else:
        assert read == row
