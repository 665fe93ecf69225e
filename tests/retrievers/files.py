"""Small real files in the formats that are read, made in code."""

import io
import zipfile

import docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls


def write_file(path, content):
    """Write text as UTF-8, or bytes as they are, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def make_pdf(*pages):
    """A PDF with these lines of text per page, in a font that knows every character of the first 65,536."""
    font = "<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R]"
    glyphs = "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /CIDSystemInfo << /Registry (A) /Ordering (I) >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{5 + 2 * n} 0 R' for n in range(len(pages)))}] >>",
        f"{font} /ToUnicode 0 0 R >>",
        glyphs,
    ]
    for number, lines in enumerate(pages):
        shown = "\n".join(f"<{line.encode('utf-16-be').hex()}> Tj T*" for line in lines)
        stream = f"BT /F1 12 Tf 14 TL 50 700 Td\n{shown}\nET" if lines else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    cmap = "1 begincodespacerange <0000> <FFFF> endcodespacerange 1 beginbfrange <0000> <FFFF> <0000> endbfrange"
    objects.append(f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream")
    objects[2] = objects[2].replace("/ToUnicode 0", f"/ToUnicode {len(objects)}")
    return _join_objects(objects)


def _join_objects(objects):
    raw, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(raw))
        raw += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(raw)}\n%%EOF"
    return raw + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")


def saved_bytes(document):
    """The bytes of a document of python-docx, openpyxl or python-pptx."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def make_docx():
    """A Word document with headings, lists, a table, a link and tracked changes."""
    document = docx.Document()
    document.add_heading("退货指南", level=0)
    document.add_heading("Returns", level=1)
    document.add_paragraph("七天内可以退货。")
    document.add_paragraph("keep the box", style="List Bullet")
    document.add_paragraph("keep the bill", style="List Bullet")
    document.add_paragraph("first", style="List Number")
    document.add_paragraph("second", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ["尺寸", "price", "S|M", "5"], strict=True
    ):
        cell.text = text
    document.add_heading("Refunds", level=2)
    changed = document.add_paragraph("Refunds take ")._p
    for xml in (
        "<w:del {0} w:id='1'><w:r><w:delText>nine</w:delText></w:r></w:del>",
        "<w:ins {0} w:id='2'><w:r><w:t>five</w:t></w:r></w:ins>",
        "<w:r {0}><w:t xml:space='preserve'> days</w:t><w:br/><w:t>or less.</w:t></w:r>",
    ):
        changed.append(parse_xml(xml.format(nsdecls("w"))))
    wrapped = (
        f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    document.element.body.insert(len(document.element.body) - 1, parse_xml(wrapped))
    return saved_bytes(document)


def repack(raw, name, content):
    """The archive with one part replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return buffer.getvalue()
