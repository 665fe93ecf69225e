"""Files to documents."""

import pytest

from retrievers import read_documents
from retrievers.documents import read_document
from retrievers.errors import DocumentError


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_a_file_becomes_a_document_with_source_and_title(tmp_path):
    path = _write(tmp_path / "cables.md", "intro\n\n# Cables  \n\nUse a short cable.\n")
    (document,) = read_documents([path])
    assert document.page_content == "intro\n\n# Cables  \n\nUse a short cable.\n"
    assert document.metadata == {"source": "cables.md", "title": "Cables"}


@pytest.mark.parametrize("content", ["no heading", "## only a second level", "#hashtag", "#\n\nparagraph", ""])
def test_without_a_first_heading_the_title_is_the_files_name(tmp_path, content):
    (document,) = read_documents([_write(tmp_path / "my page.txt", content)])
    assert document.metadata["title"] == "my page"


def test_a_folder_is_read_in_alphabetical_order_with_paths_below_it(tmp_path):
    for name in ("b.md", "a.txt", "deep/er/c.MARKDOWN", "ignored.pdf", "deep/a.md"):
        _write(tmp_path / name, f"# {name}")
    (tmp_path / "folder.md").mkdir()
    sources = [document.metadata["source"] for document in read_documents([tmp_path])]
    assert sources == ["a.txt", "b.md", "deep/a.md", "deep/er/c.MARKDOWN"]


def test_paths_are_read_in_the_order_given(tmp_path):
    paths = [_write(tmp_path / name, "text") for name in ("b.md", "a.md")]
    assert [document.metadata["source"] for document in read_documents(paths)] == ["b.md", "a.md"]


def test_byte_order_mark_and_windows_line_ends_leave_no_trace(tmp_path):
    (document,) = read_documents([_write(tmp_path / "a.md", b"\xef\xbb\xbf# \xe9\x80\x80\xe8\xb4\xa7\r\n\r\nText\r\n")])
    assert document.page_content == "# 退货\n\nText\n"
    assert document.metadata["title"] == "退货"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", "退货要多久".encode("gb18030"), "no usable UTF-8 text"),
        ("a.md", "text".encode("utf-16"), "no usable UTF-8 text"),
        ("a.md", b"a\x00b", "NUL"),
        ("a.pdf", b"%PDF", r"none of \.md, \.markdown, \.txt"),
        ("a", b"text", "none of"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path, name, content, reason):
    with pytest.raises(DocumentError, match=reason) as caught:
        list(read_documents([_write(tmp_path / name, content)]))
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        list(read_documents([tmp_path / "none.md"]))


def test_a_source_can_be_given(tmp_path):
    assert read_document(_write(tmp_path / "a.md", "x"), source="help/a").metadata["source"] == "help/a"
