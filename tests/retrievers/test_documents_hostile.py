"""Files made to hang or fill a reader: each is read, or refused with a reason, in a time that grows with its size."""

import contextlib
import io
import zipfile
from pathlib import Path

import pytest

from retrievers import chunking, documents, parse_file, split_documents
from retrievers.errors import DocumentError
from retrievers.readers import archive, html_text, pdf_text
from retrievers.readers.docx_text import read_docx
from retrievers.readers.pptx_text import read_pptx
from retrievers.readers.xlsx_text import read_xlsx
from tests.retrievers import hostile
from tests.waiting import cpu_seconds

_N = 10_000


def _chunks(name, content):
    raw = content if isinstance(content, bytes) else content.encode()
    return split_documents(parse_file(raw, Path(name), source=name))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("backticks.html", lambda: "<pre>" + "`" * 10 * _N + "</pre>"),
        ("raised.html", lambda: "<pre><sup>1" + " " * 5 * _N + "1</sup></pre>"),
        (
            "header.html",
            lambda: "<table><thead><tr>" + "<th>a" * 2 * _N + "<tr><th>b" * 2 * _N + "<tbody><tr><td>x<td>y</table>",
        ),
        ("ends.html", lambda: "<div>" * 5 * _N + "</span>" * 5 * _N),
        ("ends-of-tables.html", lambda: "<ol reversed><li>" * 5 * _N + "</p>" * 5 * _N),
        ("rule.md", lambda: "|a|\n|" + "-" * 5 * _N + "x\n|b|\n"),
        ("spaces.md", lambda: "-" + " " * 5 * _N + "\nx"),
        ("tabs.md", lambda: "12." + "\t" * 5 * _N + "\nx"),
        ("nameless.csv", lambda: "a" + "," * 5 * _N + "\n" + "x\n" * 5 * _N),
        ("boxes.docx", lambda: hostile.word(hostile.boxes(60))),
        ("check-boxes.docx", lambda: hostile.word(hostile.check_boxes(_N))),
        ("lists.docx", lambda: hostile.numbered(9, lists=_N, levels=_N)),
        ("styles.docx", lambda: hostile.styled(15_000)),
        ("raised.docx", lambda: hostile.word(hostile.raised(f"1{' ' * 5 * _N}1"))),
        (
            "hidden.xlsx",
            lambda: hostile.sheet(hostile.column(_N // 2), before=f"<cols>{hostile.HIDDEN_COLUMN * _N}</cols>"),
        ),
        ("struck.xlsx", lambda: hostile.shared_text("<r><rPr><strike/></rPr><t>x</t></r>" * _N, _N)),
        ("blank.xlsx", lambda: hostile.shared_text(f"<t>{' ' * 50 * _N}</t>", _N)),
        ("rows.pptx", lambda: hostile.presentation(rows=_N // 2)),
        ("levels.pptx", lambda: hostile.presentation(paragraphs=hostile.levels(2 * _N))),
        ("slides.pptx", lambda: hostile.presentation(repeated=_N)),
    ],
)
def test_time_grows_with_the_size(name, make):
    content = make()

    def read():
        with contextlib.suppress(DocumentError):
            _chunks(name, content)

    # each takes a second at most; what was quadratic in it, half a minute to hours
    assert cpu_seconds(read) < 10


def test_lines_of_addresses_are_joined_in_a_time_that_grows_with_them():
    assert cpu_seconds(lambda: pdf_text.join_lines("www." * 3 * _N + "x\nNext")) < 5
    page = "Read all about it at www.example.org/\nreturns?a=1 today, and more."
    assert pdf_text.join_lines(page) == page.replace("\n", "")


@pytest.mark.parametrize("levels", [1, 2, 5, 60])
def test_a_text_box_in_others_is_read_once(levels):
    assert read_docx(hostile.word(hostile.boxes(levels, "退货"))).text == "退货"


def test_boxes_within_and_beside_each_other_are_read_once_in_their_order():
    inner = "<w:r><w:txbxContent>{}</w:txbxContent></w:r>"
    box = inner.format(hostile.paragraph("two")[:-6] + inner.format(hostile.paragraph("three")) + "</w:p>")
    beside = inner.format(hostile.paragraph("four"))
    body = hostile.paragraph("one")[:-6] + box + beside + "</w:p>" + hostile.paragraph("five")
    assert read_docx(hostile.word(body)).text == "one\n\ntwo\n\nthree\n\nfour\n\nfive"


@pytest.mark.parametrize("code", ["a", "```", "a `` b ```` c", "`" * 9])
def test_a_fence_is_longer_than_any_run_in_its_code(code):
    lines = html_text.read_html(f"<pre>x{code}y</pre>".encode()).text.split("\n")
    assert lines[1:-1] == [f"x{code}y"]
    assert lines[0] == lines[-1]
    assert set(lines[0]) == {"`"}
    assert lines[0] not in code
    assert len(lines[0]) >= 3


@pytest.mark.parametrize("main", ["word/document.xml", "word/document.dat", "word/media/image1.png", "a"])
def test_a_part_is_text_by_what_is_in_it(monkeypatch, main):
    assert read_docx(hostile.word(hostile.paragraph("x"), main=f"word/{main}")).text == "x"
    monkeypatch.setattr(archive, "_MAX_XML_BYTES", 5_000)
    with pytest.raises(DocumentError, match="more than 5,000 bytes of text"):
        read_docx(hostile.word(" " * 5_000, main=f"word/{main}"))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16-le", "utf-16-be", "cp037"])
def test_text_is_told_in_every_charset(codec):
    content = f"<?xml version='1.0' encoding='{codec}'?><a/>".encode(codec)
    with zipfile.ZipFile(io.BytesIO(hostile.zipped({"a": content, "b": b"\x89PNG", "c": " " * 99 + "<a/>"}))) as parts:
        assert [archive._is_text(parts, part) for part in parts.infolist()] == [True, False, True]


@pytest.mark.parametrize(
    ("read", "make"),
    [
        (read_docx, lambda number: hostile.word("<w:p/>" * number)),
        (read_pptx, lambda number: hostile.presentation(paragraphs="<a:p/>" * number)),
        (read_xlsx, lambda number: hostile.sheet(f"<row>{'<c/>' * number}</row>")),
    ],
)
def test_few_bytes_of_many_elements_are_refused_before_they_are_a_tree(read, make):
    raw = make(6_000_000)
    assert len(raw) < 100_000

    def refuse():
        with pytest.raises(DocumentError, match="tags"):
            read(raw)

    assert cpu_seconds(refuse) < 5


def test_an_archive_is_packed_as_offices_do():
    with pytest.raises(DocumentError, match="packed in a way"):
        read_docx(hostile.word(hostile.paragraph("x"), method=zipfile.ZIP_LZMA))


@pytest.mark.parametrize(
    ("make", "read", "reason"),
    [
        (
            lambda: hostile.numbered(4_500, start="9" * 4_000, pattern="%1" * 120),
            read_docx,
            "more than 5,000,000 characters",
        ),
        (lambda: hostile.presentation(repeated=2), read_pptx, "one slide twice"),
        (lambda: hostile.repeated_sheet(2), read_xlsx, "one sheet twice"),
        (lambda: hostile.pdf(b"q Q " * 1_000_000, pages=5_000), pdf_text.read_pdf, "300,000,000 bytes"),
        (lambda: b"<b>" * 5_001, html_text.read_html, "5,000 elements in each other"),
    ],
)
def test_what_repeats_itself_is_refused(make, read, reason):
    raw = make()

    def refuse():
        with pytest.raises(DocumentError, match=reason):
            read(raw)

    assert cpu_seconds(refuse) < 10


def test_a_list_begins_at_most_where_one_of_word_may():
    assert read_docx(hostile.numbered(1, start="9" * 40)).text == "2147483647. x"


def test_chunks_of_a_wide_row_do_not_all_have_all_its_columns():
    columns = 20_000
    names = [f"c{number}" for number in range(columns)]
    chunks = _chunks("wide.csv", f"{','.join(names)}\n{','.join('x' * columns)}\n")
    assert len(chunks) > 200
    assert sum(len(str(chunk.metadata)) for chunk in chunks) < 100 * columns * len("c12345: x")
    assert chunks[0].metadata["c0"] == "x"
    assert "\n".join(f"{name}: x" for name in names[:50]) in chunks[0].page_content


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"text": "t" * 9_000, "lang": "zh", "note": "n" * 1_000}, {"lang", "note"}),
        ({"text": "t", **{f"c{n}": "v" * 990 for n in range(9)}, "price": 5}, {"price", *(f"c{n}" for n in range(8))}),
        ({"": "x", "a": "y" * 1_001, "b" * 7_999: "z"}, {""}),
    ],
)
def test_the_longest_columns_of_a_wide_row_are_no_metadata(row, kept):
    assert set(documents.row_metadata(row)) == kept


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("# a\n" * 400, 2),
        ("# A\n\n## B\n\n## C\n\n## D\n\ntext", 2),
        ("# A\n\ntext\n\n# B\n\n# C", 2),
        ("## 甲\n## 乙\n## 丙\n", 1),
        ("# A\n# B\ntext", 2),
    ],
)
def test_headings_without_text_between_them_share_chunks(text, bodies):
    chunks = _chunks("a.md", text)
    assert len(chunks) == bodies
    assert "".join("".join(chunk.page_content[chunk.metadata["body_start"] :].split()) for chunk in chunks) == "".join(
        text.split()
    )


def test_a_document_of_tiny_sections_is_refused(monkeypatch):
    monkeypatch.setattr(chunking, "_MAX_CHUNKS", 500)
    assert len(_chunks("a.md", "# a\nb\n" * 500)) == 500
    with pytest.raises(DocumentError, match=r"a\.md falls into more than 500 pieces"):
        _chunks("a.md", "# a\nb\n" * 501)


@pytest.mark.parametrize(("name", "row"), [("a.csv", "x,y\n"), ("a.jsonl", '{"text": "x"}\n')])
def test_a_file_has_a_number_of_rows_at_most(monkeypatch, name, row):
    monkeypatch.setattr(documents, "_MAX_ROWS", 3)
    header = "text,a\n" if name == "a.csv" else ""
    assert len(_chunks(name, header + row * 3)) == 3
    with pytest.raises(DocumentError, match=r"a\.\w+ has more than 3 rows"):
        _chunks(name, header + row * 4)


def test_a_sheet_of_one_column_is_read_and_hidden_columns_are_left_out():
    cells = "".join(f'<row r="{n}"><c r="A{n}"><v>1</v></c><c r="C{n}"><v>{n}</v></c></row>' for n in (1, 2))
    hidden = '<col min="4" max="9" hidden="1"/><col min="1" max="2" hidden="1"/><col min="2" max="2" hidden="1"/>'
    assert read_xlsx(hostile.sheet(cells, before=f"<cols>{hidden}</cols>")).text == "## Sheet\n\n1\n\n2"
