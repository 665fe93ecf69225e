"""Documents to chunks that know where they stand."""

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from retrievers import split_documents

_texts = st.lists(
    st.sampled_from(
        ["word", " ", "\n", "\n\n", "\n# Head", "\n## Sub ", ". ", "退货要多久", "。", "！", "a" * 30, "\t", "🙂"]
    )
    | st.text(alphabet=st.characters(codec="utf-8"), max_size=6),
    max_size=40,
).map("".join)


def _split(text, *, chunk_chars=25, **metadata):
    return split_documents([Document(text, metadata={"source": "a.md", **metadata})], chunk_chars=chunk_chars)


def _body(chunk):
    return chunk.page_content[chunk.metadata["body_start"] :]


@settings(max_examples=200)
@given(_texts, st.integers(1, 60))
def test_every_body_is_the_text_between_its_start_and_end(text, chunk_chars):
    for chunk in _split(text, chunk_chars=chunk_chars, title="Title"):
        assert _body(chunk) == text[chunk.metadata["start"] : chunk.metadata["end"]]
        assert 0 < len(_body(chunk)) <= chunk_chars
        assert chunk.page_content == f"Title\n\n{_body(chunk)}"


@settings(max_examples=200)
@given(_texts, st.integers(1, 60))
def test_no_text_is_lost_or_doubled_except_white_space(text, chunk_chars):
    chunks = _split(text, chunk_chars=chunk_chars)
    assert "".join("".join(_body(chunk).split()) for chunk in chunks) == "".join(text.split())
    places = [place for chunk in chunks for place in (chunk.metadata["start"], chunk.metadata["end"])]
    assert places == sorted(places)


@given(_texts)
def test_ids_are_stable_and_unique(text):
    ids = [chunk.id for chunk in _split(text)]
    assert ids == [chunk.id for chunk in _split(text)]
    assert len(set(ids)) == len(ids)


def test_the_same_text_in_another_source_has_other_ids():
    one, other = (split_documents([Document("text", metadata={"source": name})])[0].id for name in "ab")
    assert one != other


def test_a_heading_stays_whole_and_begins_its_chunk():
    text = "# Cables\n\nUse a short cable.\n\n## Length\n\nOne metre is enough.\n\n### Colour\n\nAny colour will do."
    bodies = [_body(chunk) for chunk in _split(text, chunk_chars=45)]
    assert bodies == [
        "# Cables\n\nUse a short cable.",
        "## Length\n\nOne metre is enough.",
        "### Colour\n\nAny colour will do.",
    ]


def test_chinese_is_cut_at_the_ends_of_sentences():
    text = "七天内可以退货。请保留包装！运费由谁承担？质量问题由我们承担。"
    bodies = [_body(chunk) for chunk in _split(text, chunk_chars=16)]
    assert len(bodies) > 1
    assert all(body[-1] in "。！？" for body in bodies)


def test_short_text_is_one_chunk_and_no_text_is_none():
    (chunk,) = _split("one sentence")
    assert chunk.metadata == {"source": "a.md", "start": 0, "end": 12, "body_start": 0}
    assert _split("") == _split(" \n ") == []


def test_metadata_of_the_document_is_kept_and_not_shared():
    chunks = _split("one. " * 20, tags=["x"])
    assert all(chunk.metadata["tags"] == ["x"] for chunk in chunks)
    chunks[0].metadata["source"] = "changed"
    assert chunks[1].metadata["source"] == "a.md"
