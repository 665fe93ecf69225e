"""Documents made to hang or fill a reader, of every format that is read, with random shapes and sizes."""

import random
from collections.abc import Callable, Iterator

from tests.retrievers import hostile
from tests.retrievers.files import make_docx

__all__ = ["hostile_documents"]

_MANY = 200  # from so many on, the known ones come first, of which some take seconds to be made
_TAGS = ("div", "b", "table", "td", "ul", "ol reversed", "ruby", "pre", "svg", "p style='a'", "a href=x", "sup", "li")
_LINES = (
    "# a\n",
    "- ",
    "1." + "\t" * 99,
    "```\n",
    "|a|\n|--x\n",
    "> ",
    "**",
    "[x](",
    "。",
    "\\",
    "<b>",
    "    x\n",
    "~~~",
)

Maker = Callable[[random.Random, int], bytes]


def hostile_documents(count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of so many documents, each format about as often."""
    num_made = 0
    for name, raw in hostile.hostile_files() if count >= _MANY else ():
        num_made += 1
        yield f"known-{name}", raw
    source = random.Random(seed)
    makers = [(suffix, maker) for suffix, several in _MAKERS.items() for maker in several]
    for number in range(count - num_made):
        suffix, make = makers[number % len(makers)]
        raw = make(source, int(10 ** source.uniform(2, 4.7)))
        if source.random() < 0.4:
            raw = _broken(source, raw)
        yield f"{number}.{suffix}", raw


def _broken(source: random.Random, raw: bytes) -> bytes:
    """Return the bytes cut off, overwritten, with a part of them doubled, or without one."""
    first, last = sorted(source.randrange(len(raw) + 1) for _ in range(2))
    match source.randrange(4):
        case 0:
            return raw[:last]
        case 1:
            return raw[:first] + source.randbytes(min(last - first, 64)) + raw[first + min(last - first, 64) :]
        case 2:
            return raw[:last] + raw[first:]
        case _:
            return raw[:first] + raw[last:]


def _lines(source: random.Random, size: int) -> bytes:
    return (source.choice(_LINES) * size).encode()


def _mixed_lines(source: random.Random, size: int) -> bytes:
    return "".join(source.choices(_LINES, k=size)).encode()


def _nested_list(source: random.Random, size: int) -> bytes:
    mark = source.choice(("- ", "1. ", "> "))
    return "".join(f"{' ' * depth}{mark}x\n" for depth in range(min(size, 900))).encode()


def _characters(source: random.Random, size: int) -> bytes:
    text = chr(source.choice((0, 0x0301, 0x202E, 0xFEFF, 0x1F468, 0x9000))) * size
    return text.encode(source.choice(("utf-8", "utf-16-le", "utf-16", "utf-32")))


def _bytes(source: random.Random, size: int) -> bytes:
    return source.randbytes(size)


def _open_tags(source: random.Random, size: int) -> bytes:
    return f"<{source.choice(_TAGS)}>x".encode() * size


def _crossed_tags(source: random.Random, size: int) -> bytes:
    return "".join(
        f"<{'/' * source.randrange(2)}{source.choice(_TAGS)}>{source.choice('x `&')}" for _ in range(size)
    ).encode()


def _entities(_: random.Random, size: int) -> bytes:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, min(size, 30)))
    return f'<!DOCTYPE html [<!ENTITY e0 "x">{levels}]><p>{"&e9;" * size}'.encode()


def _wide_row(_: random.Random, size: int) -> bytes:
    return f"{','.join(f'c{n}' for n in range(size))}\n{','.join('x' * size)}\n".encode()


def _open_quotes(source: random.Random, size: int) -> bytes:
    return b"text,a\n" + source.choice((b'"x,', b'""', b'x",y\n', b"\r", b"x;y\tz\n")) * size


def _deep_json(source: random.Random, size: int) -> bytes:
    return source.choice((b"[", b'{"a":', b'{"text":[')) * size


def _wide_json(source: random.Random, size: int) -> bytes:
    value = source.choice(("1", '"x"', "9" * 200, "1e999", "null", '{"a":1}'))
    return ("{" + ",".join(f'"c{n}":{value}' for n in range(size)) + "}").encode()


def _word(source: random.Random, size: int) -> bytes:
    body = source.choice(
        (
            hostile.boxes(min(size, 200)),
            hostile.paragraph("x") * size,
            hostile.check_boxes(size),
            "<w:p/>" * 100 * size,
            "<w:sdt>" * size + "</w:sdt>" * size,
            hostile.raised(f"1{' ' * size}1"),
            "<w:tbl><w:tr><w:tc>" * min(size, 500) + hostile.paragraph("x") + "</w:tc></w:tr></w:tbl>" * min(size, 500),
        )
    )
    return hostile.word(body, main=source.choice(("word/document.xml", "word/document.dat")))


def _numbered_word(source: random.Random, size: int) -> bytes:
    return hostile.numbered(size, lists=source.choice((1, size)), levels=source.choice((1, size)))


def _plain_word(_source: random.Random, _size: int) -> bytes:
    return make_docx()


def _sheet(source: random.Random, size: int) -> bytes:
    rows = source.choice((hostile.column(size), "<x/>" * 100 * size, f"<row>{'<c/>' * 100 * size}</row>"))
    merged = '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>' * source.choice((0, size))
    return hostile.sheet(rows, merged)


def _shared_text(source: random.Random, size: int) -> bytes:
    return hostile.shared_text(source.choice(("<r><t>x</t></r>" * size, f"<t>{' ' * size}</t>")), size)


def _slides(source: random.Random, size: int) -> bytes:
    few = min(size, 5_000)
    return source.choice(
        (
            lambda: hostile.presentation(rows=few),
            lambda: hostile.presentation(repeated=few),
            lambda: hostile.presentation(paragraphs=hostile.levels(few)),
        )
    )()


def _drawing(source: random.Random, size: int) -> bytes:
    content = source.choice((b"q Q ", b"BT /F1 9 Tf (x) Tj ET ", b"\x00" * 1_000, b"[" * 50, b"<< /A ")) * size
    return hostile.pdf(content, pages=source.choice((1, min(size, 500))))


def _forms(_: random.Random, size: int) -> bytes:
    return hostile.nested_forms(2 + size % 8)


_MAKERS: dict[str, tuple[Maker, ...]] = {
    "md": (_lines, _mixed_lines, _nested_list),
    "txt": (_characters, _bytes),
    "html": (_open_tags, _crossed_tags, _entities),
    "csv": (_wide_row, _open_quotes, _bytes),
    "jsonl": (_deep_json, _wide_json),
    "docx": (_word, _numbered_word, _plain_word),
    "xlsx": (_sheet, _shared_text),
    "pptx": (_slides,),
    "pdf": (_drawing, _forms),
}
