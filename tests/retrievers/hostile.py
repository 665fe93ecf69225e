"""Small files that would take hours or all memory of a reader that trusts them, made in code."""

import io
import zipfile
import zlib

import openpyxl
import pptx
from docx.oxml.ns import nsdecls

from tests.retrievers.files import make_docx, repack, saved_bytes

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HIDDEN_COLUMN = '<col min="1" max="1" hidden="1"/>'
_WORD_2010 = 'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'


def zipped(parts, method=zipfile.ZIP_DEFLATED):
    """The archive with these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def word(body, *, main="word/document.xml", numbering="", styles="", method=zipfile.ZIP_DEFLATED):
    """A Word document of nothing but this body, under any name."""
    parts = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}/content-types">'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/{main}" ContentType="{_WORD}"/>'
            f'<Override PartName="/word/numbering.xml" ContentType="{_WORD.replace("document.main", "numbering")}"/>'
            f'<Override PartName="/word/styles.xml" ContentType="{_WORD.replace("document.main", "styles")}"/></Types>'
        ),
        "_rels/.rels": _relations(("officeDocument", main)),
        main: f"<w:document {nsdecls('w')} {_WORD_2010}><w:body>{body}</w:body></w:document>",
    }
    named = {"numbering": numbering, "styles": styles}
    for name, content in named.items():
        if content:
            parts[f"word/{name}.xml"] = f"<w:{name} {nsdecls('w')}>{content}</w:{name}>"
    relations = [(name, f"{name}.xml") for name, content in named.items() if content]
    folder, _, file = main.rpartition("/")
    parts[f"{folder}/_rels/{file}.rels"] = _relations(*relations)
    return zipped(parts, method)


def _relations(*targets):
    entries = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def paragraph(text, properties=""):
    """A paragraph of Word."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def boxes(number, text="x"):
    """Text boxes in each other."""
    return "<w:p><w:r><w:txbxContent>" * number + paragraph(text) + "</w:txbxContent></w:r></w:p>" * number


def raised(text):
    """A paragraph of Word in raised characters."""
    properties = "<w:rPr><w:vertAlign w:val='superscript'/></w:rPr>"
    return paragraph(text).replace("<w:t>", f"{properties}<w:t xml:space='preserve'>")


def check_boxes(number):
    """One content control with many check boxes and as many texts."""
    texts = "<w:t>x</w:t>" * number
    return (
        f"<w:p><w:sdt><w:sdtPr>{'<w14:checkbox/>' * number}</w:sdtPr>"
        f"<w:sdtContent><w:r>{texts}</w:r></w:sdtContent></w:sdt></w:p>"
    )


def numbered(number, *, lists=1, levels=1, start="1", pattern="%1."):
    """A Word document whose paragraphs are all numbered, by lists of one definition."""
    level = f'<w:start w:val="{start}"/><w:numFmt w:val="decimal"/><w:lvlText w:val="{pattern}"/>'
    definition = "".join(f'<w:lvl w:ilvl="{depth}">{level}</w:lvl>' for depth in range(levels))
    numbers = "".join(f'<w:num w:numId="{n + 1}"><w:abstractNumId w:val="0"/></w:num>' for n in range(lists))
    return word(
        paragraph("x", '<w:pStyle w:val="s"/><w:numPr><w:numId w:val="1"/></w:numPr>') * number,
        numbering=f'<w:abstractNum w:abstractNumId="0">{definition}</w:abstractNum>{numbers}',
        styles='<w:style w:type="paragraph" w:styleId="s"/>',
    )


def styled(number):
    """A Word document in whose style many other things stand before what is looked for."""
    filling = "<w:a/>" * number
    style = f'<w:style w:type="paragraph" w:styleId="s">{filling}<w:name w:val="heading 1"/></w:style>'
    return word(paragraph("x", '<w:pStyle w:val="s"/>') * number, styles=style)


def pdf(content, *, pages=1, resources="/Font << /F1 3 0 R >>", extra=()):
    """A PDF all of whose pages have the same content; further objects are numbered from 5 + pages on."""
    kids = " ".join(f"{5 + number} 0 R" for number in range(pages))
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << {resources} >> /Contents 4 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        stream(content),
        *[page.encode()] * pages,
        *extra,
    ]
    raw, places = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, start=1):
        places.append(len(raw))
        raw += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(raw)}\n%%EOF"
    return raw + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


def stream(content, head=""):
    """A packed stream of a PDF."""
    packed = zlib.compress(content, 9)
    return f"<< {head} /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream"


def nested_forms(levels):
    """A PDF whose page draws a form ten times, which draws another one ten times, and so on."""
    forms = [
        stream(
            b"BT /F1 9 Tf (x) Tj ET " + b"/X Do " * 10,
            f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] "
            f"/Resources << /Font << /F1 3 0 R >> /XObject << /X {min(7 + level, 5 + levels)} 0 R >> >>",
        )
        for level in range(levels)
    ]
    return pdf(b"/X Do", resources="/Font << /F1 3 0 R >> /XObject << /X 6 0 R >>", extra=forms)


def sheet(rows, behind="", before=""):
    """A workbook whose sheet is this XML."""
    content = f'<worksheet xmlns="{SHEET}">{before}<sheetData>{rows}</sheetData>{behind}</worksheet>'
    return repack(workbook(), "xl/worksheets/sheet1.xml", content)


def column(rows):
    """The rows of a sheet with one column of numbers, the second."""
    return "".join(f'<row r="{row}"><c r="B{row}"><v>1</v></c></row>' for row in range(1, rows + 1))


def repeated_sheet(number):
    """A workbook that names its only sheet many times."""
    raw = workbook()
    main = zipfile.ZipFile(io.BytesIO(raw)).read("xl/workbook.xml").decode()
    named = main[main.index("<sheet ") : main.index("</sheets>")]
    return repack(raw, "xl/workbook.xml", main.replace(named, named * number))


def workbook():
    """A workbook with one cell."""
    book = openpyxl.Workbook()
    book.active.append(["x"])
    return saved_bytes(book)


def shared_text(text, number):
    """A workbook with one shared text in many cells."""
    raw = sheet("".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, number + 1)))
    kinds = zipfile.ZipFile(io.BytesIO(raw)).read("[Content_Types].xml").decode()
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    buffer = io.BytesIO(repack(raw, "[Content_Types].xml", kinds.replace("</Types>", part)))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/sharedStrings.xml", f'<sst xmlns="{SHEET}"><si>{text}</si></sst>')
    return buffer.getvalue()


def presentation(*, paragraphs="", rows=0, repeated=1):
    """A presentation with one slide, named any number of times, with a text and a table."""
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[5])
    slide.shapes.title.text = "Title"
    slide.shapes.add_textbox(0, 0, 1, 1).text_frame.text = "TEXT"
    slide.shapes.add_table(2, 2, 0, 0, 1, 1)
    raw = saved_bytes(slides)
    part = zipfile.ZipFile(io.BytesIO(raw)).read("ppt/slides/slide1.xml").decode()
    if paragraphs:
        start, end = part.index("<a:p>", part.index("txBox=")), part.index("TEXT</a:t></a:r></a:p>") + 22
        part = part[:start] + paragraphs + part[end:]
    start, end = part.index("<a:tr "), part.index("</a:tbl>")
    row = part[start : part.index("</a:tr>") + 7]
    part = part[:start] + row * (rows or 2) + part[end:]
    raw = repack(raw, "ppt/slides/slide1.xml", part)
    main = zipfile.ZipFile(io.BytesIO(raw)).read("ppt/presentation.xml").decode()
    named = main[main.index("<p:sldId ") : main.index("</p:sldIdLst>")]
    return repack(raw, "ppt/presentation.xml", main.replace(named, named * repeated))


def levels(number):
    """Paragraphs of a slide, each numbered on a level below the one before."""
    text = "<a:r><a:t>x</a:t></a:r>"
    numbered_at = '<a:p><a:pPr lvl="{}"><a:buAutoNum type="arabicPeriod"/></a:pPr>{}</a:p>'
    return "".join(numbered_at.format(depth, text) for depth in range(number))


def hostile_files():
    """Yield (name, content) of about a hundred files: nesting, repetition and cut-off ends in every format."""
    yield from _texts()
    yield from _pages()
    yield from _office()
    for suffix, raw in (
        ("docx", make_docx()),
        ("xlsx", workbook()),
        ("pptx", presentation()),
        ("pdf", nested_forms(3)),
    ):
        for share in (1, 10, 50, 90, 99):
            yield f"cut-{share}.{suffix}", raw[: len(raw) * share // 100]
        for step in (99, 999, 9_999):
            damaged = bytearray(raw)
            damaged[step::step] = b"\xff" * len(damaged[step::step])
            yield f"damaged-{step}.{suffix}", bytes(damaged)


def _texts():
    n = 300_000
    for number, piece in enumerate(
        (
            "# a\n",
            "# a\nb\n",
            "- ",
            "-" + " " * 999 + "\n",
            "1." + "\t" * 999,
            "```\n",
            "~~~",
            "|a|\n|--x\n",
            "|-",
            "。",
            ".)",
            "www.",
            "(",
        ),
    ):
        yield f"repeated-{number}.md", (piece * (n // len(piece))).encode()
    yield "rule.md", b"|a|\n|" + b"-" * n + b"x\n|b|\n"
    yield "spaces.md", b"-" + b" " * n + b"\nx"
    yield "nested.md", "".join(f"{' ' * depth}- x\n" for depth in range(700)).encode()
    yield "nul.txt", b"\x00" * n
    yield "other.txt", "退货".encode("utf-16-le") * 9_999
    columns = n // 10
    yield "wide.csv", f"{','.join(f'c{i}' for i in range(columns))}\n{','.join('x' * columns)}\n".encode()
    yield "nameless.csv", b"a" + b"," * columns + b"\n" + b"x\n" * columns
    yield "quote.csv", b'a,b\n"' + b"x,y\n" * columns
    yield "quotes.csv", b"a\n" + b'"' * n
    yield "rows.csv", b"text,a\n" + b"x,y\n" * (n // 4)
    yield "wide.jsonl", ("{" + ",".join(f'"c{i}":"x"' for i in range(columns)) + "}").encode()
    yield "deep.jsonl", b'{"a":' + b"[" * n
    yield "deep.ndjson", b'{"a":' * n
    yield "numbers.jsonl", (b'{"text":"x","a":' + b"9" * 4_000 + b"}\n") * 75


def _pages():
    n = 50_000
    for number, pair in enumerate(
        (
            ("<div>", "</span>"),
            ("<b>", "</i>"),
            ("<table><tr><td>", ""),
            ("<ul><li>", "x"),
            ("<ol reversed><li>", "x"),
            ("<ruby>a<rt>", "b"),
            ("<sup>", "1"),
            ("<pre>", "`"),
            ("<p style='display", "none'>"),
            ("<!--", "-"),
            ("<a x='", "'"),
            ("&", ";"),
            ("<svg>", "</p>"),
            ("<td rowspan=9999 colspan=9999>x", "<tr>"),
        )
    ):
        yield f"pair-{number}.html", (pair[0] * n + pair[1] * n).encode()
    yield "backticks.html", b"<pre>" + b"`" * n * 4
    yield "raised.html", b"<pre><sup>1" + b" " * n * 2 + b"1</sup>"
    yield "head.html", b"<table><thead><tr>" + b"<th>a" * n + b"<tr><th>b" * n + b"<tbody><tr><td>x<td>y"
    yield "attributes.html", f"<p {' '.join(f'a{i}=1' for i in range(n))}>x".encode()
    yield "style.html", b"<p style='" + b"list-style:" * n + b"'>x"


def _office():
    n = 50_000
    yield "boxes.docx", word(boxes(80))
    box = f"<w:txbxContent>{paragraph('x')}</w:txbxContent>"
    yield "boxes-apart.docx", word(f"<w:p><w:r>{box * n}</w:r></w:p>")
    yield "empty.docx", word("<w:p/>" * 9_000_000)
    yield "other-name.docx", word("<w:p/>" * 20_000_000, main="word/document.dat")
    yield "picture-name.docx", word("<w:p/>" * 20_000_000, main="word/media/image.png")
    yield "depth.docx", word("<w:sdt>" * n + "</w:sdt>" * n)
    yield "check-boxes.docx", word(check_boxes(n))
    yield "lists.docx", numbered(10, lists=n, levels=n)
    yield "long-numbers.docx", numbered(n, start="9" * 4_000, pattern="%1" * 120)
    yield "styles.docx", styled(n)
    yield "packed.docx", word(paragraph("x"), method=zipfile.ZIP_LZMA)
    yield "cells.docx", word(f"<w:tbl><w:tr>{('<w:tc>' + paragraph('x') + '</w:tc>') * n}</w:tr></w:tbl>")
    yield "tables.docx", word("<w:tbl><w:tr><w:tc>" * 80 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 80)
    yield "spaces.docx", word(raised(f"1{' ' * n * 4}1"))
    yield "hidden.xlsx", sheet(column(n), before=f"<cols>{HIDDEN_COLUMN * n}</cols>")
    yield "one-column.xlsx", sheet(column(n))
    yield "unknown.xlsx", sheet("<x/>" * 9_000_000)
    yield "one-row.xlsx", sheet(f"<row>{'<c/>' * 9_000_000}</row>")
    yield "merged.xlsx", sheet(column(n), '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>' * n)
    yield "struck.xlsx", shared_text("<r><rPr><strike/></rPr><t>x</t></r>" * n, n)
    yield "blank.xlsx", shared_text(f"<t>{' ' * n * 10}</t>", n)
    yield "repeated.xlsx", repeated_sheet(n // 10)
    yield "repeated.pptx", presentation(repeated=n)
    yield "rows.pptx", presentation(rows=n)
    yield "levels.pptx", presentation(paragraphs=levels(n))
    yield "operators.pdf", pdf(b"q Q " * 1_000_000, pages=5_000)
    yield "texts.pdf", pdf(b"BT /F1 9 Tf " + b"(x) Tj " * 200_000 + b"ET", pages=100)
    yield "forms.pdf", nested_forms(9)
    yield "zeros.pdf", pdf(b"\x00" * 300_000_000)
    yield "words.pdf", pdf(b"BT /F1 9 Tf (" + b"www." * n + b"/) Tj T* (www.) Tj ET")
