"""Sheets and slides: values as they are shown, below their own headers, and nothing that is hidden."""

import datetime as dt
import io

import openpyxl
import pptx
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.styles import Font

from retrievers import read_documents, split_documents
from retrievers.errors import DocumentError, NoTextError
from retrievers.readers import archive, xlsx_text
from retrievers.readers.pptx_text import read_pptx
from retrievers.readers.xlsx_text import read_xlsx
from tests.retrievers.files import repack, saved_bytes, write_file
from tests.retrievers.hostile import shared_text, sheet
from tests.waiting import cpu_seconds


def _workbook(*rows, title="Prices"):
    workbook = openpyxl.Workbook()
    workbook.active.title = title
    for row in rows:
        workbook.active.append(row)
    return workbook


def _table(raw):
    """The lines of the tables and their captions, without the sheet's name and rules."""
    lines = read_xlsx(raw).text.split("\n")[1:]
    return [line for line in lines if line and not line.startswith("| ---")]


def test_each_sheet_is_a_table_below_its_name():
    workbook = _workbook(["国家", "5 公斤"], ["德国", 4.9], title="运费")
    workbook.create_sheet("Empty")
    workbook.create_sheet("Days").append(["To", "days"])
    workbook["Days"].append(["AT", 3])
    text = read_xlsx(saved_bytes(workbook)).text
    assert text == (
        "## 运费\n\n| 国家 | 5 公斤 |\n| --- | --- |\n| 德国 | 4.9 |\n\n"
        "## Days\n\n| To | days |\n| --- | --- |\n| AT | 3 |"
    )


def test_merged_cells_are_repeated_and_a_title_stands_above_its_table():
    workbook = _workbook(
        ["Prices 2026"], [], ["To", "Standard", None, "Express"], [None, "5 kg", "20 kg", "20 kg"], ["AT", 7, 14, 29]
    )
    workbook.active.merge_cells("A3:A4")
    workbook.active.merge_cells("B3:C3")
    assert _table(saved_bytes(workbook)) == [
        "Prices 2026",
        "| To | Standard 5 kg | Standard 20 kg | Express 20 kg |",
        "| AT | 7 | 14 | 29 |",
    ]


def test_hidden_sheets_rows_and_columns_are_left_out():
    workbook = _workbook(["To", "cost", "price"], ["AT", 1, 7], ["secret", 2, 8], ["DE", 3, 9])
    workbook.active.row_dimensions[3].hidden = True
    workbook.active.column_dimensions["B"].hidden = True
    workbook.create_sheet("Hidden").append(["margin"])
    workbook["Hidden"].sheet_state = "veryHidden"
    assert _table(saved_bytes(workbook)) == ["| To | price |", "| AT | 7 |", "| DE | 9 |"]


def test_an_empty_row_divides_tables_only_where_a_header_follows():
    workbook = _workbook(["To", "price"], ["AT", 7], [], ["DE", 9], [], ["Size", "cm"], ["S", 30])
    assert _table(saved_bytes(workbook)) == [
        "| To | price |",
        "| AT | 7 |",
        "| DE | 9 |",
        "| Size | cm |",
        "| S | 30 |",
    ]


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (4.9, '0.00" €"', "4.90 €"),
        (0.19, "0%", "19%"),
        (0.195, "0.0%", "19.5%"),
        (1299, "[$£-809]#,##0.00", "£1299.00"),
        (-5, '0.00 "EUR"', "-5.00 EUR"),
        (1067, "00000", "01067"),
        (75, r"0\%", "75%"),
        (2.5, r"0.0\ \k\g", "2.5 kg"),
        (12, r"0\°\C", "12°C"),
        (0.5, "# ?/?", "0.5"),
        (1_500_000, '0.0,,"M"', "1500000"),
        (0.1 + 0.2, "General", "0.3"),
        (1e15, "General", "1000000000000000"),
        (7, ";;;", ""),
        (dt.datetime(2026, 3, 1), "dd.mm.yyyy", "2026-03-01"),
        (dt.datetime(2026, 3, 1, 9, 30), "dd.mm.yyyy hh:mm", "2026-03-01 09:30"),
        (dt.time(9, 30), "hh:mm", "09:30"),
        (dt.timedelta(hours=36), "[h]:mm", "36:00"),
        (dt.timedelta(minutes=90, seconds=5), "[h]:mm:ss", "1:30:05"),
        (True, "General", "TRUE"),
    ],
)
def test_values_are_shown_as_the_sheet_shows_them(value, number_format, shown):
    workbook = _workbook(["what", "value"], ["row", value])
    workbook.active["B2"].number_format = number_format
    assert _table(saved_bytes(workbook))[1] == (f"| row | {shown} |" if shown else "| row |")


def test_raised_digits_are_marked_and_struck_texts_left_out():
    raised = CellRichText(
        "79", TextBlock(InlineFont(vertAlign="superscript"), "1"), TextBlock(InlineFont(strike=True), "0")
    )
    workbook = _workbook(["Plan", "price"], ["Care", raised], ["Old", "129"])
    workbook.active["B3"].font = Font(strike=True)
    assert _table(saved_bytes(workbook)) == ["| Plan | price |", "| Care | 79¹ |", "| Old |"]


def test_formulas_give_their_stored_results_and_are_refused_without():
    rows = (
        '<row r="1"><c r="A1"><v>2</v></c><c r="B1"><f>A1*2</f><v>4</v></c><c r="C1" t="str"><f>""</f><v></v></c></row>'
    )
    assert _table(sheet(rows)) == ["| 2 | 4 |"]
    with pytest.raises(DocumentError, match="1 formulas without results in the sheet 'Prices'"):
        read_xlsx(saved_bytes(_workbook([1, "=A1*2"])))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "cannot be read as XLSX"),
        (b"\xd0\xcf\x11\xe0", r"old Excel file \(\.xls\); save it as \.xlsx"),
        (sheet('<row r="9999999999"><c r="A9999999999"><v>1</v></c></row>'), "delete what is empty"),
        (
            sheet("".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 200))),
            "delete what is empty",
        ),
        (
            sheet(
                f'<row r="1"><c r="A1" t="str"><v>{"x" * 9999}</v></c><c r="B1"><v>1</v></c></row>'
                + "".join(f'<row r="{n}"><c r="B{n}"><v>1</v></c></row>' for n in range(2, 999)),
                '<mergeCells><mergeCell ref="A1:A1048576"/></mergeCells>',
            ),
            "split the table",
        ),
        (shared_text(f"<t>{'x' * 100_000}</t>", 1999), "more than 5,000,000 characters"),
        (
            repack(sheet(""), "xl/styles.xml", "<!DOCTYPE d [<!ENTITY a 'b'>]><styleSheet/>"),
            "entities",
        ),
        (repack(sheet(""), "xl/workbook.xml", "<workbook"), "cannot be read as XLSX"),
    ],
)
def test_a_workbook_that_means_harm_is_refused_soon(monkeypatch, raw, reason):
    monkeypatch.setattr(xlsx_text, "_MAX_CELLS", 1_000_000)

    def read():
        with pytest.raises(DocumentError, match=reason):
            read_xlsx(raw)

    assert cpu_seconds(read) < 10


def test_a_merged_cell_over_everything_fills_no_memory():
    rows = '<row r="1"><c r="A1"><v>5</v></c><c r="C2"><v>1</v></c></row>'
    raw = sheet(rows, '<mergeCells><mergeCell ref="A1:B1048576"/></mergeCells>')
    assert cpu_seconds(lambda: read_xlsx(raw)) < 5


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "_MAX_UNPACKED_BYTES", 1000)
    for read, raw in ((read_xlsx, saved_bytes(_workbook(["x"]))), (read_pptx, saved_bytes(pptx.Presentation()))):
        with pytest.raises(DocumentError, match="unpacks to"):
            read(raw)


def _slides():
    """A presentation of a title, a list with a table and notes, and a hidden slide."""
    slides = pptx.Presentation()
    first = slides.slides.add_slide(slides.slide_layouts[0])
    first.shapes.title.text, first.placeholders[1].text = "退货指南", "2026"
    second = slides.slides.add_slide(slides.slide_layouts[1])
    second.shapes.title.text, second.placeholders[1].text = "Prices", "one\ntwo"
    table = second.shapes.add_table(3, 3, 0, 0, 1000, 1000).table
    for row, texts in enumerate([["To", "Standard", ""], ["", "5", "20"], ["AT", "7", "14"]]):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(0, 0).merge(table.cell(1, 0))
    table.cell(0, 1).merge(table.cell(0, 2))
    second.notes_slide.notes_text_frame.text = "Ask the shop."
    hidden = slides.slides.add_slide(slides.slide_layouts[1])
    hidden.shapes.title.text = "Hidden"
    hidden.element.set("show", "0")
    return slides


def test_slides_come_with_titles_lists_tables_and_notes(tmp_path):
    (document,) = read_documents([write_file(tmp_path / "a.pptx", saved_bytes(_slides()))])
    assert document.page_content == (
        "# 退货指南\n\n2026\n\n## Prices\n\n- one\n- two\n\n| To | Standard 5 | Standard 20 |\n| --- | --- | --- |\n"
        "| AT | 7 | 14 |\n\nAsk the shop."
    )
    chunks = split_documents([document])
    assert [(chunk.metadata["section"], chunk.metadata["page"]) for chunk in chunks] == [
        ("退货指南", 1),
        ("退货指南 > Prices", 2),
    ]


def _edited(slides, *edits):
    """The text of the second slide after its first paragraph's properties or run are set."""
    paragraph = slides.slides[1].placeholders[1].text_frame.paragraphs[0]
    for edit in edits:
        edit(paragraph)
    return read_pptx(saved_bytes(slides)).text.split("## Prices\n\n")[1].split("\n\n|")[0].split("\n")


def _numbered(kind, start):
    def edit(paragraph):
        for following in [paragraph._p, *paragraph._p.itersiblings()]:
            numbering = following.get_or_add_pPr().makeelement(
                "{http://schemas.openxmlformats.org/drawingml/2006/main}buAutoNum", {"type": kind, "startAt": start}
            )
            following.get_or_add_pPr().append(numbering)

    return edit


@pytest.mark.parametrize(
    ("kind", "start", "markers"),
    [
        ("arabicPeriod", "5", ["5.", "6."]),
        ("alphaLcParenR", "2", ["b)", "c)"]),
        ("romanUcPeriod", "3", ["III.", "IV."]),
        ("arabicParenBoth", "1", ["(1)", "(2)"]),
    ],
)
def test_numbers_of_slides_are_those_that_are_shown(kind, start, markers):
    lines = [line for line in _edited(_slides(), _numbered(kind, start)) if line]
    assert lines == [f"{marker} {word}" for marker, word in zip(markers, ("one", "two"), strict=True)]


def test_raised_and_struck_runs_of_slides():
    def edit(paragraph):
        for text, name, value in (
            ("1", "baseline", "30000"),
            ("2", "baseline", "-25000"),
            ("old", "strike", "sngStrike"),
        ):
            run = paragraph.add_run()
            run.text = text
            run.font._element.set(name, value)

    assert _edited(_slides(), edit)[0] == "- one¹₂"


def test_a_picture_on_a_slide_has_its_words(tmp_path):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    slides = pptx.Presentation()
    picture = slides.slides.add_slide(slides.slide_layouts[6]).shapes.add_picture(buffer, 0, 0)
    path = write_file(tmp_path / "a.pptx", saved_bytes(slides))
    with pytest.raises(NoTextError, match=r"a\.pptx holds pictures and no text.*OCR"):
        list(read_documents([path]))
    picture._element.nvPicPr.cNvPr.set("descr", "退货流程图")
    assert read_pptx(saved_bytes(slides)).text == "退货流程图"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"PK", "cannot be read as PPTX"),
        (b"\xd0\xcf\x11\xe0", r"old PowerPoint file \(\.ppt\)"),
        (repack(saved_bytes(_slides()), "ppt/slides/slide1.xml", "<!DOCTYPE d [<!ENTITY a 'b'>]><p/>"), "entities"),
        (repack(saved_bytes(_slides()), "ppt/presentation.xml", "<p"), "cannot be read as PPTX"),
    ],
)
def test_a_presentation_that_means_harm_is_refused(raw, reason):
    with pytest.raises(DocumentError, match=reason):
        read_pptx(raw)
