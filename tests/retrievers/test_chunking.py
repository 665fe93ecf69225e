"""Documents to chunks that know where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from llms.texts import split_sentences
from retrievers import split_documents
from retrievers.blocks import Kind, find_blocks
from tests.waiting import cpu_seconds

_PIECES = [
    *("word", " ", "\n", "\n\n", "\n# Head", "\n# A\n## Sub ", ". ", "退货要多久", "。", "！”", "a" * 30, "\t", "🙂"),
    *(
        "\n| a | b |\n| - | - |\n| 1 | 2 |",
        "\n```\ncode\n```\n",
        "\n~~~",
        "\n- item",
        "\n  - nested",
        "\n1. one",
        "：",
        "e.g. ",
    ),
]
_texts = st.lists(
    st.sampled_from(_PIECES) | st.text(alphabet=st.characters(codec="utf-8"), max_size=6), max_size=40
).map("".join)
_limits = st.integers(1, 60)


def _split(text, *, chunk_chars=25, parent_chars=4000, **metadata):
    document = Document(text, metadata={"source": "a.md", **metadata})
    return split_documents([document], chunk_chars=chunk_chars, parent_chars=parent_chars)


def _body(chunk):
    return chunk.page_content[chunk.metadata["body_start"] :]


def _bodies(text, **limits):
    return [_body(chunk) for chunk in _split(text, **limits)]


@given(_texts, _limits)
def test_every_body_is_the_text_between_its_start_and_end(text, chunk_chars):
    for chunk in _split(text, chunk_chars=chunk_chars, title="Title"):
        assert _body(chunk) == text[chunk.metadata["start"] : chunk.metadata["end"]]
        assert 0 < len(_body(chunk)) <= chunk_chars
        assert _body(chunk) == _body(chunk).strip()
        assert chunk.page_content.startswith("Title\n\n")


@given(_texts, _limits)
def test_bodies_tile_the_document_but_for_white_space_between_them(text, chunk_chars):
    end = 0
    for chunk in _split(text, chunk_chars=chunk_chars):
        assert text[end : chunk.metadata["start"]].strip() == ""
        assert chunk.metadata["start"] >= end
        end = chunk.metadata["end"]
    assert text[end:].strip() == ""


@given(_texts, _limits, st.integers(1, 120))
def test_parents_hold_whole_chunks_and_do_not_overlap(text, chunk_chars, parent_chars):
    chunks = _split(text, chunk_chars=chunk_chars, parent_chars=parent_chars)
    children = {}
    for chunk in chunks:
        children.setdefault(chunk.metadata["parent_start"], []).append(chunk.metadata)
    end = 0
    for parent_start, group in children.items():
        assert parent_start == group[0]["start"] >= end
        assert {child["parent_end"] for child in group} == {group[-1]["end"]}
        end = group[-1]["end"]
        assert end - parent_start <= max(parent_chars, chunk_chars)


@given(_texts)
def test_ids_are_stable_and_unique(text):
    ids = [chunk.id for chunk in _split(text)]
    assert ids == [chunk.id for chunk in _split(text)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("names", [("source", "a", "b"), ("row", 1, 2)])
def test_the_same_text_in_another_source_or_row_has_other_ids(names):
    name, *values = names
    one, other = (split_documents([Document("text", metadata={name: value})])[0].id for value in values)
    assert one != other


def test_a_heading_stays_whole_and_begins_its_chunk():
    text = "# Cables\n\nUse a short cable.\n\n## Length\n\nOne metre is enough.\n\n### Colour\n\nAny colour will do."
    chunks = _split(text, chunk_chars=45)
    assert [(_body(chunk), chunk.metadata["section"]) for chunk in chunks] == [
        ("# Cables\n\nUse a short cable.", "Cables"),
        ("## Length\n\nOne metre is enough.", "Cables > Length"),
        ("### Colour\n\nAny colour will do.", "Cables > Length > Colour"),
    ]
    assert _bodies(text)[0] == "# Cables"  # 25 characters hold no sentence beside it
    assert _bodies(text, chunk_chars=800) == [_body(chunk) for chunk in chunks]  # no chunk reaches over two sections


def test_a_heading_without_text_stands_with_its_first_sub_section():
    text = "# Returns\n\n## 退款\n\n七天内。\n\n## Empty\n\n# Last"
    assert [(chunk.metadata["section"], _body(chunk)) for chunk in _split(text, chunk_chars=100)] == [
        ("Returns > 退款", "# Returns\n\n## 退款\n\n七天内。"),
        ("Returns > Empty", "## Empty"),
        ("Last", "# Last"),
    ]


def test_a_paragraph_that_does_not_fit_below_its_heading_gives_it_its_first_sentence():
    text = "# Head\n\nOne two three. Four five six. Seven eight."
    assert _bodies(text, chunk_chars=44) == ["# Head\n\nOne two three. Four five six.", "Seven eight."]


def test_text_above_the_first_heading_has_no_section():
    first, second = _split("intro\n\n# A #\n\ntext", chunk_chars=100)
    assert "section" not in first.metadata
    assert second.metadata["section"] == "A"


def test_headings_of_a_level_left_out_and_of_a_higher_level():
    text = "## B\n\nx\n\n#### D\n\nx\n\n### C\n\nx\n\n# A\n\nx"
    assert [chunk.metadata["section"] for chunk in _split(text)] == ["B", "B > D", "B > C", "A"]


def test_short_neighbours_share_a_chunk():
    assert _bodies("One.\n\n- two\n- three\n\nFour.", chunk_chars=30) == ["One.\n\n- two\n- three\n\nFour."]


TABLE = "| size | price |\n| --- | --- |\n| S | 5 |\n| M | 6 |\n| L | 7 |"


def test_a_table_stays_whole_or_is_cut_between_rows():
    assert _bodies(f"{'word. ' * 10}\n\n{TABLE}", chunk_chars=len(TABLE)) == [("word. " * 10).strip(), TABLE]
    pieces = _bodies(TABLE, chunk_chars=55)
    assert pieces == ["| size | price |\n| --- | --- |\n| S | 5 |\n| M | 6 |", "| L | 7 |"]
    assert "\n".join(pieces) == TABLE


HEADER = "| Lamp | weight in kg |\n| --- | --- |"
ROWS = [f"| Lamp{number:02} | {number / 10} |" for number in range(60)]


@pytest.mark.parametrize("before", ["", "# Lamps\n\nOur lamps.\n\n", "| x |\n| - |\n| 1 |\n\n"])
def test_every_chunk_of_a_long_table_has_its_header(before):
    text = before + "\n".join([HEADER, *ROWS]) + "\n\nBehind the table."
    chunks = _split(text, chunk_chars=200, title="Lamps")
    for row in ROWS:
        (chunk,) = (chunk for chunk in chunks if row in _body(chunk))
        assert HEADER in chunk.page_content
        assert _body(chunk) == text[chunk.metadata["start"] : chunk.metadata["end"]]
        if HEADER not in _body(chunk):
            assert chunk.page_content == f"Lamps\n\n{HEADER}\n{_body(chunk)}"
            assert len(HEADER) + 1 + len(_body(chunk)) <= 200
    assert [HEADER in chunk.page_content for chunk in chunks if _body(chunk) == "Behind the table."] in ([], [False])


@pytest.mark.parametrize(
    ("table", "repeated"),
    [
        ("| a | b |\n|:--|--:|\n| 1 | 2 |\n| 3 | 4 |", True),
        ("| 尺寸 | 价格 |\n| --- | --- |\n| 大 | 5 |\n| 小 | 4 |", True),
        ("| a | b |\n| 1 | 2 |\n| 3 | 4 |", False),  # no rule: nothing says that the first row is a header
        ("| a |\n| - |\n\n| 1 | 2 |\n| 3 | 4 |", False),  # another table
        (f"| {'a' * 90} |\n| --- |\n| 1 |\n| {'2' * 40} |", False),  # a header that is longer than a chunk
    ],
)
def test_only_the_header_of_the_same_table_is_repeated(table, repeated):
    *_, last = _split(table, chunk_chars=25)
    header = "\n".join(table.split("\n")[:2])
    assert (last.page_content != _body(last), last.page_content.startswith(header)) == (repeated, repeated)


def test_code_stays_whole_or_is_cut_between_lines_and_its_comments_are_no_headings():
    code = "```python\n# no heading\n\nx = 1. + y\n```"
    (chunk,) = _split(code, chunk_chars=50)
    assert (_body(chunk), "section" in chunk.metadata) == (code, False)
    assert _bodies(f"{'word. ' * 5}\n\n{code}", chunk_chars=len(code)) == [("word. " * 5).strip(), code]
    assert _bodies(code, chunk_chars=25) == ["```python\n# no heading", "x = 1. + y\n```"]


def test_a_fence_closes_with_its_own_marks_only():
    text = "~~~~\n```\n# a\n~~~\n~~~~~\n# Heading\n\n`` `x` ``\n``` a`b\n# B"
    kinds = [(block.kind, block.name) for block in find_blocks(text)]
    assert kinds == [
        (Kind.CODE, ""),
        (Kind.HEADING, "Heading"),
        (Kind.PARAGRAPH, ""),
        (Kind.HEADING, "B"),
    ]


def test_list_items_stay_whole_with_what_is_nested_in_them():
    text = "- first item\n  goes on\n\n  and on\n  - nested\n- second item\n1. third\n2、第四"
    assert _bodies(text, chunk_chars=45) == [
        "- first item\n  goes on\n\n  and on\n  - nested",
        "- second item\n1. third\n2、第四",
    ]
    assert _bodies(text, chunk_chars=35)[:2] == [
        "- first item\n  goes on\n\n  and on",
        "- nested\n- second item\n1. third",
    ]


def test_chinese_is_cut_at_the_ends_of_sentences():
    text = "七天内可以退货。请保留包装！运费由谁承担？质量问题由我们承担。"
    bodies = _bodies(text, chunk_chars=16)
    assert len(bodies) > 1
    assert all(body[-1] in "。！？" for body in bodies)


@given(
    st.lists(
        st.sampled_from(
            [
                "Use No. 5, e.g. the red one.",
                "它说：“好。”",
                "七天内可以退货；请保留包装！",
                "Is it 3.5 m long?",
                "Dr. A. Bo left.",
            ]
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([" ", "\n"]),
    st.integers(28, 90),
)
def test_no_sentence_is_cut_that_fits_into_a_chunk(sentences, gap, chunk_chars):
    text = gap.join(sentences)
    starts, at = set(), 0
    for sentence in sentences:
        starts.add(at)
        at += len(sentence) + 1
    assert {chunk.metadata["start"] for chunk in _split(text, chunk_chars=chunk_chars)} <= starts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. two. Three!", ["One. two.", "Three!"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("Version 2.5 is out. eSIM works.", ["Version 2.5 is out.", "eSIM works."]),
        ("退货。换货！\n维修？", ["退货。", "换货！", "维修？"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("Wait... what?! Yes.", ["Wait... what?!", "Yes."]),
        ("1. First step. Second.", ["1. First step.", "Second."]),
        ("no end mark", ["no end mark"]),
        ("", []),
    ],
)
def test_a_text_falls_into_these_sentences(text, sentences):
    assert [text[start:end] for start, end in split_sentences(text, (0, len(text)))] == sentences


def test_a_sentence_longer_than_a_chunk_is_cut_at_lines_clauses_words_then_anywhere():
    assert _bodies("one two three\nfour five six", chunk_chars=15) == ["one two three", "four five six"]
    assert _bodies("退货要多久才能到账，运费由谁承担", chunk_chars=10) == ["退货要多久才能到账，", "运费由谁承担"]
    assert _bodies("one two three four", chunk_chars=9) == ["one two", "three", "four"]
    assert _bodies("退货要多久", chunk_chars=2) == ["退货", "要多", "久"]


def test_a_parent_is_the_widest_section_that_fits():
    text = "# A\n\n" + "a" * 40 + "\n\n## B\n\nbb\n\n### C\n\ncc\n\n## D\n\ndd"
    whole, *rest = (
        {(c.metadata["parent_start"], c.metadata["parent_end"]) for c in _split(text, chunk_chars=60, parent_chars=p)}
        for p in (4000, 60, 10)
    )
    assert whole == {(0, len(text))}
    b, d = text.index("## B"), text.index("## D")
    assert rest[0] == {(0, 45), (b, d - 2), (d, len(text))}  # B holds C


def test_a_section_longer_than_a_parent_is_cut_between_chunks():
    chunks = _split("one. " * 30, chunk_chars=10, parent_chars=35)
    assert {c.metadata["parent_end"] - c.metadata["parent_start"] for c in chunks} <= set(range(36))
    assert len({c.metadata["parent_start"] for c in chunks}) == 5


def test_a_chunk_knows_its_page():
    text = "first page\n\nsecond page\n\nfourth page"
    chunks = _split(text, chunk_chars=12, page_starts=[0, 12, 25, 25])
    assert [chunk.metadata["page"] for chunk in chunks] == [1, 2, 4]
    assert "page_starts" not in chunks[0].metadata


def test_short_text_is_one_chunk_and_no_text_is_none():
    (chunk,) = _split("one sentence")
    place = {"start": 0, "end": 12, "body_start": 0, "parent_start": 0, "parent_end": 12}
    assert chunk.metadata == {"source": "a.md"} | place
    assert _split("") == _split(" \n ") == []


def test_metadata_of_the_document_is_kept_and_not_shared():
    chunks = _split("one. " * 20, tags=["x"])
    assert all(chunk.metadata["tags"] == ["x"] for chunk in chunks)
    chunks[0].metadata["source"] = "changed"
    assert chunks[1].metadata["source"] == "a.md"


@pytest.mark.parametrize("limits", [{"chunk_chars": 0}, {"parent_chars": -1}])
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="at least 1"):
        _split("text", **limits)


@pytest.mark.parametrize(
    "piece",
    [
        "退货。",
        "The cable is 2 m long. ",
        "a",
        "!x",
        ".",
        "a ",
        "|a|b|\n",
        "```\n",
        "- a\n",
        "# \t",
        "." + " " * 70,
        ".\"'x",
        "\n",
    ],
)
def test_time_is_linear_in_the_text(piece):
    text = piece * (500_000 // len(piece))
    # a tenth of a second to one; anything quadratic takes hours
    assert cpu_seconds(lambda: _split(text, chunk_chars=800)) < 20
