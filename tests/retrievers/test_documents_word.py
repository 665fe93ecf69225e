"""Word documents: what stands in the layout (spans, numbers, raised digits, ticks, readings) is in the text."""

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn

from retrievers.readers import tables
from retrievers.readers.docx_text import read_docx
from tests.retrievers.files import repack, saved_bytes

_W14 = 'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'
_MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def _read(document):
    return read_docx(saved_bytes(document)).text


def _table(rows, *merges):
    """A document with a table; merges are ((row, column), (row, column)) from corner to corner."""
    document = docx.Document()
    table = document.add_table(rows=len(rows), cols=len(rows[0]))
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    for first, last in merges:
        table.cell(*first).merge(table.cell(*last))
    return document


@pytest.mark.parametrize(
    ("rows", "merges", "lines"),
    [
        (  # a header of two rows becomes one
            [["To", "Standard", "", "Express"], ["", "5 kg", "20 kg", "20 kg"], ["AT", "7.90", "14.90", "29.90"]],
            [((0, 0), (1, 0)), ((0, 1), (0, 2))],
            ["| To | Standard 5 kg | Standard 20 kg | Express 20 kg |", "| AT | 7.90 | 14.90 | 29.90 |"],
        ),
        (  # a category over several rows stands in each of them
            [["类别", "产品", "保修"], ["手机", "甲", "24个月"], ["", "乙", "12个月"], ["电脑", "丙", "36个月"]],
            [((1, 0), (2, 0))],
            [
                "| 类别 | 产品 | 保修 |",
                "| 手机 | 甲 | 24个月 |",
                "| 手机 | 乙 | 12个月 |",
                "| 电脑 | 丙 | 36个月 |",
            ],
        ),
        (  # a value over two columns is true of both
            [["Day", "Berlin", "Ulm"], ["Sunday", "closed", ""], ["Monday", "9-17", "8-16"]],
            [((1, 1), (1, 2))],
            ["| Day | Berlin | Ulm |", "| Sunday | closed | closed |", "| Monday | 9-17 | 8-16 |"],
        ),
        (  # a span over rows and columns at once
            [["a", "b", "c"], ["1", "x", ""], ["2", "", ""], ["3", "y", "z"]],
            [((1, 1), (2, 2))],
            ["| a | b | c |", "| 1 | x | x |", "| 2 | x | x |", "| 3 | y | z |"],
        ),
        (  # a cell over all columns names a group of rows
            [["To", "price"], ["Europe", ""], ["AT", "7"]],
            [((1, 0), (1, 1))],
            ["| To | price |", "| Europe |  |", "| AT | 7 |"],
        ),
    ],
)
def test_each_value_stands_below_its_header(rows, merges, lines):
    header, *body = lines
    rule = f"| {' | '.join(['---'] * len(rows[0]))} |"
    assert _read(_table(rows, *merges)) == "\n".join([header, rule, *body])


def test_a_cell_over_the_whole_width_on_top_is_a_caption():
    document = _table([["Prices 2026", ""], ["To", "price"], ["AT", "7"]], ((0, 0), (0, 1)))
    assert _read(document) == "Prices 2026\n\n| To | price |\n| --- | --- |\n| AT | 7 |"


def test_a_row_that_begins_further_right_keeps_its_columns():
    document = _table([["To", "5 kg", "20 kg"], ["x", "7", "14"]])
    row = document.tables[0].rows[1]._tr
    row.remove(row.tc_lst[0])
    row.get_or_add_trPr().append(parse_xml(f'<w:gridBefore {nsdecls("w")} w:val="1"/>'))
    assert _read(document).endswith("|  | 7 | 14 |")


def test_hidden_and_deleted_rows_are_left_out():
    document = _table([["a", "b"], ["1", "2"], ["3", "4"], ["5", "6"]])
    for row, tag in ((1, "hidden"), (2, "del")):
        document.tables[0].rows[row]._tr.get_or_add_trPr().append(parse_xml(f"<w:{tag} {nsdecls('w')} w:id='1'/>"))
    assert _read(document) == "| a | b |\n| --- | --- |\n| 5 | 6 |"


def test_spans_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(tables, "MAX_DOCUMENT_CHARS", 1000)
    document = _table([["x" * 400, ""], ["", ""], ["a", "b"]], ((0, 0), (1, 0)))
    document.tables[0].cell(1, 1).text = "y"
    assert "x" * 400 in _read(document)
    monkeypatch.setattr(tables, "MAX_DOCUMENT_CHARS", 500)
    with pytest.raises(ValueError, match="split the table"):
        _read(document)


class _Lists:
    """A document whose lists are defined by (start, format, text) of each level."""

    def __init__(self):
        self.document = docx.Document()
        self._root = self.document.part.numbering_part.element

    def define(self, list_id, *levels, extra="", same_as=None, override=None):
        if same_as is None:
            xml = "".join(
                f'<w:lvl w:ilvl="{depth}"><w:start w:val="{start}"/><w:numFmt w:val="{style}"/>{extra}'
                f'<w:lvlText w:val="{text}"/></w:lvl>'
                for depth, (start, style, text) in enumerate(levels)
            )
            abstract = f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{list_id}">{xml}</w:abstractNum>'
            self._root.find(qn("w:num")).addprevious(parse_xml(abstract))
        start = f'<w:lvlOverride w:ilvl="0"><w:startOverride w:val="{override}"/></w:lvlOverride>' if override else ""
        self._root.append(
            parse_xml(
                f'<w:num {nsdecls("w")} w:numId="{list_id}">'
                f'<w:abstractNumId w:val="{same_as or list_id}"/>{start}</w:num>'
            )
        )
        return self

    def item(self, text, list_id, depth=0, style=None):
        paragraph = self.document.add_paragraph(text, style=style)
        paragraph._p.get_or_add_pPr().append(
            parse_xml(f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{depth}"/><w:numId w:val="{list_id}"/></w:numPr>')
        )
        return paragraph

    def lines(self):
        return [line for line in _read(self.document).split("\n") if line]


@pytest.mark.parametrize(
    ("start", "style", "text", "markers"),
    [
        (5, "decimal", "%1.", ["5.", "6.", "7."]),
        (1, "lowerLetter", "%1)", ["a)", "b)", "c)"]),
        (25, "upperLetter", "(%1)", ["(Y)", "(Z)", "(AA)"]),
        (3, "lowerRoman", "%1.", ["iii.", "iv.", "v."]),
        (9, "upperRoman", "§ %1", ["§ IX", "§ X", "§ XI"]),
        (1, "decimal", "Step %1:", ["Step 1:", "Step 2:", "Step 3:"]),
        (9, "decimalZero", "%1", ["09", "10", "11"]),
        (1, "ordinal", "%1", ["1st", "2nd", "3rd"]),
        (10, "chineseCountingThousand", "第%1条", ["第十条", "第十一条", "第十二条"]),
        (19, "chineseCounting", "%1、", ["十九、", "二十、", "二十一、"]),
        (1, "chineseLegalSimplified", "%1、", ["壹、", "贰、", "叁、"]),
        (1, "ideographTraditional", "%1、", ["甲、", "乙、", "丙、"]),
        (1, "decimalEnclosedCircle", "%1", ["①", "②", "③"]),
        (1, "bullet", "", ["-", "-", "-"]),
        (1, "hebrew1", "%1.", ["1.", "2.", "3."]),  # what cannot be shown is shown in digits
    ],
)
def test_list_numbers_are_those_that_word_shows(start, style, text, markers):
    lists = _Lists().define(901, (start, style, text))
    for word in ("one", "two", "three"):
        lists.item(word, 901)
    assert lists.lines() == [f"{marker} {word}" for marker, word in zip(markers, ("one", "two", "three"), strict=True)]


def test_levels_show_the_numbers_above_them_and_begin_anew_below_them():
    lists = _Lists().define(901, (1, "chineseCountingThousand", "第%1章"), (1, "decimal", "%1.%2"), extra="<w:isLgl/>")
    for text, depth in (("总则", 0), ("范围", 1), ("定义", 1), ("退货", 0), ("费用", 1)):
        lists.item(text, 901, depth)
    assert [line.strip() for line in lists.lines()] == ["第1章 总则", "1.1 范围", "1.2 定义", "第2章 退货", "2.1 费用"]


def test_numbers_of_headings_stand_in_the_headings():
    lists = _Lists().define(903, (1, "decimal", "%1"), (1, "decimal", "%1.%2"))
    lists.item("General", 903, 0, "Heading 1")
    lists.item("Scope", 903, 1, "Heading 2")
    lists.item("Returns", 903, 0, "Heading 1")
    lists.item("Costs", 903, 1, "Heading 2")
    assert lists.lines() == ["# 1 General", "## 1.1 Scope", "# 2 Returns", "## 2.1 Costs"]


def test_a_style_says_its_list_and_the_list_its_level():
    lists = _Lists().define(904, (1, "upperRoman", "%1."), (1, "lowerLetter", "%1.%2"))
    style = lists.document.styles["Heading 2"].element
    style.get_or_add_pPr().append(parse_xml(f'<w:numPr {nsdecls("w")}><w:numId w:val="904"/></w:numPr>'))
    level = next(
        entry for entry in lists._root.iter(qn("w:lvl")) if entry.getparent().get(qn("w:abstractNumId")) == "904"
        and entry.get(qn("w:ilvl")) == "1"
    )  # fmt: skip
    level.insert(2, parse_xml(f'<w:pStyle {nsdecls("w")} w:val="Heading2"/>'))
    lists.item("One", 904)
    lists.document.add_heading("Two", level=2)
    assert lists.lines() == ["I. One", "## I.a Two"]


def test_lists_of_one_definition_count_on_unless_one_says_where_it_starts():
    lists = _Lists().define(905, (1, "decimal", "%1."))
    lists.define(906, same_as=905).define(907, same_as=905, override=1)
    lists.item("one", 905)
    lists.item("two", 906)
    lists.item("again", 907)
    lists.item("and on", 907)
    assert lists.lines() == ["1. one", "2. two", "1. again", "2. and on"]


def test_an_empty_item_counts_and_a_deleted_one_does_not():
    lists = _Lists().define(908, (1, "decimal", "%1."))
    lists.item("one", 908)
    lists.item("", 908)
    deleted = lists.item("", 908)
    deleted._p.get_or_add_pPr().append(parse_xml(f"<w:rPr {nsdecls('w')}><w:del w:id='1'/></w:rPr>"))
    lists.item("three", 908)
    assert lists.lines() == ["1. one", "3. three"]


def test_a_level_may_go_on_counting_below_the_next_number():
    lists = _Lists().define(909, (1, "decimal", "%1."), (1, "decimal", "(%2)"), extra='<w:lvlRestart w:val="0"/>')
    for text, depth in (("a", 0), ("b", 1), ("c", 0), ("d", 1)):
        lists.item(text, 909, depth)
    assert [line.strip() for line in lists.lines()] == ["1. a", "(1) b", "2. c", "(2) d"]


def test_numbers_stand_in_the_cells_of_tables():
    lists = _Lists().define(910, (3, "decimal", "%1."))
    table = lists.document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "first", "x"
    table.cell(0, 0).paragraphs[0]._p.get_or_add_pPr().append(
        parse_xml(f'<w:numPr {nsdecls("w")}><w:ilvl w:val="0"/><w:numId w:val="910"/></w:numPr>')
    )
    lists.item("second", 910)
    assert lists.lines() == ["| 3. first | x |", "| --- | --- |", "4. second"]


def _paragraph(*runs):
    """A document of one paragraph; runs are text, (text, property of the font) or XML."""
    document = docx.Document()
    paragraph = document.add_paragraph()
    for run in runs:
        if isinstance(run, tuple):
            setattr(paragraph.add_run(run[0]).font, run[1], True)
        elif run.startswith("<"):
            paragraph._p.append(parse_xml(run.replace(">", f" {nsdecls('w')} {_W14} {_MATH}>", 1)))
        else:
            paragraph.add_run(run)
    return document


_RUBY = (
    "<w:r><w:ruby><w:rubyPr/><w:rt><w:r><w:t>{}</w:t></w:r></w:rt>"
    "<w:rubyBase><w:r><w:t>{}</w:t></w:r></w:rubyBase></w:ruby></w:r>"
)
_POWER = "<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>"
_OFF = '<w:default w:val="0"/>'


def _shifted(text, half_points):
    return f'<w:r><w:rPr><w:position w:val="{half_points}"/></w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def _sign(font, code):
    return f'<w:r><w:sym w:font="{font}" w:char="{code}"/></w:r>'


def _control(*, is_ticked, sign):
    return (
        f'<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val="{int(is_ticked)}"/></w14:checkbox></w:sdtPr>'
        f"<w:sdtContent><w:r><w:t>{sign}</w:t></w:r></w:sdtContent></w:sdt>"
    )


def _old_box(inner):
    return (
        f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox>{inner}</w:checkBox></w:ffData></w:fldChar></w:r>'
    )


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (["The plan costs 79", ("1", "superscript"), " euros."], "The plan costs 79¹ euros."),
        (["10", ("1", "superscript"), ("2", "superscript"), " bytes"], "10¹² bytes"),
        (["The plan costs 79", _shifted("1", 6), " euros, 10", _shifted("-3", 8)], "The plan costs 79¹ euros, 10⁻³"),
        (["CO", _shifted("2", -4), ", 7", _shifted("9", 2)], "CO₂, 79"),
        (["第", _shifted("一章 总则", 6), _shifted(" 2026", 6)], "第一章 总则 2026"),
        (["CO", ("2", "subscript"), ", x", ("max", "subscript")], "CO₂, x_(max)"),
        (["1 000", ("a", "superscript"), " and 5", ("*", "superscript")], "1 000^(a) and 5*"),
        (["the 1", ("st", "superscript"), " floor of Foo", ("TM", "superscript")], "the 1st floor of Foo™"),
        (["79", ("[1]", "superscript"), " 面积 12 m", ("2", "superscript")], "79[1] 面积 12 m²"),
        (["Was ", ("129", "strike"), " now 99 euros."], "Was now 99 euros."),
        (["Price 99", (" INTERNAL: margin 40 %", "hidden")], "Price 99"),
        (["a", ("b", "double_strike"), "c"], "ac"),
        (["请到", _RUBY.format("tuìhuò", "退货"), "中心"], "请到退货(tuìhuò)中心"),
        ([_RUBY.format("とう", "東"), _RUBY.format("きょう", "京")], "東(とう)京(きょう)"),
        (["a", _RUBY.format("", "退货")], "a退货"),
        ([_sign("Wingdings", "F0FE"), " two ", _sign("Wingdings", "F0A8"), " three"], "☑ two ☐ three"),
        ([_sign("Wingdings 2", "F052"), " yes ", _sign("Wingdings 2", "F0A3"), " no"], "☑ yes ☐ no"),
        ([_sign("Symbol", "F0A3"), " 5 kg, 20 ", _sign("Symbol", "F0B0"), "C"], "≤ 5 kg, 20 °C"),
        ([_control(is_ticked=True, sign="☒"), " two ", _control(is_ticked=False, sign="☐"), " three"], "☑ two ☐ three"),
        ([_old_box(f"{_OFF}<w:checked/>"), " yes ", _old_box(_OFF), " no"], "☑ yes ☐ no"),
        ([_old_box("<w:default/>"), " a ", _old_box('<w:checked w:val="0"/><w:default/>')], "☑ a ☐"),
        ([f"<m:oMath>{_POWER}</m:oMath>"], "x²"),
        (
            ["<m:f><m:num><m:r><m:t>1</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>", " price"],
            "1/2 price",
        ),
    ],
)
def test_a_line_says_what_is_seen(runs, text):
    assert _read(_paragraph(*runs)) == text


def test_a_style_hides_and_raises_as_a_run_does():
    document = _paragraph("79")
    styles = document.styles
    raised, hidden = (styles.add_style(name, 2) for name in ("Mark", "Secret"))
    raised.font.superscript, hidden.font.hidden = True, True
    document.paragraphs[0].add_run("1", style="Mark")
    document.paragraphs[0].add_run("margin", style="Secret")
    document.paragraphs[0].add_run(" euros").font.superscript = False
    assert _read(document) == "79¹ euros"


def test_a_ticked_control_around_a_cell_is_seen():
    document = _table([["two years", "x"]])
    paragraph = document.tables[0].cell(0, 1).paragraphs[0]._p
    xml = _control(is_ticked=True, sign="☒").replace("<w:r>", "<w:p><w:r>").replace("</w:r>", "</w:r></w:p>")
    paragraph.addprevious(parse_xml(xml.replace(">", f" {nsdecls('w')} {_W14}>", 1)))
    assert _read(document).startswith("| two years | ☑ x |")


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("退货流程图", "before 退货流程图"),
        ("Included", "before Included"),
        ("image1.png", "before"),
        ("A close up\n\nDescription automatically generated", "before"),
    ],
)
def test_the_words_of_a_picture_stay(description, text):
    namespace = "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
    drawing = (
        f'<w:r><w:drawing><wp:inline xmlns:wp="{namespace}"><wp:docPr id="1" name="Picture 1" '
        f'descr="{description}"/></wp:inline></w:drawing></w:r>'
    )
    assert _read(_paragraph("before ", drawing)) == text


def test_notes_follow_the_text_behind_their_marks():
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part

    document = _paragraph("The plan costs 79", '<w:r><w:footnoteReference w:id="4"/></w:r>', " euros.")
    note = '<w:footnote w:id="4"><w:p><w:r><w:t>per year</w:t></w:r></w:p></w:footnote>'
    xml = f"<w:footnotes {nsdecls('w')}>{note}</w:footnotes>"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    part = Part(PackURI("/word/footnotes.xml"), kind, xml.encode(), document.part.package)
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    assert _read(document) == "The plan costs 79¹ euros.\n\n¹ per year"


def test_entities_are_refused_in_every_part():
    raw = repack(saved_bytes(docx.Document()), "word/styles.xml", "<!DOCTYPE d [<!ENTITY a 'b'>]><w:styles/>")
    with pytest.raises(ValueError, match="entities"):
        read_docx(raw)
