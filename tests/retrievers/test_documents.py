"""Files to documents: which are read, under which names, and what is refused."""

import os

import pytest

from retrievers import documents, read_documents
from retrievers.documents import list_files, read_document
from retrievers.errors import DocumentError
from tests.retrievers.files import write_file


def _sources(*paths):
    return [file.source for file in list_files(paths)]


def test_a_file_becomes_a_document_with_source_and_title(tmp_path):
    path = write_file(tmp_path / "cables.md", "intro\n\n# Cables  \n\nUse a short cable.\n")
    (document,) = read_documents([path])
    assert document.page_content == "intro\n\n# Cables  \n\nUse a short cable.\n"
    assert document.metadata == {"source": "cables.md", "title": "Cables"}


@pytest.mark.parametrize("content", ["no heading", "## only a second level", "#hashtag", "#\n\nparagraph", "```\n# a"])
def test_without_a_first_heading_the_title_is_the_files_name(tmp_path, content):
    (document,) = read_documents([write_file(tmp_path / "my page.txt", content)])
    assert document.metadata["title"] == "my page"


def test_an_endless_heading_makes_no_endless_title(tmp_path):
    (document,) = read_documents([write_file(tmp_path / "a.md", "# " + "长" * 10_000)])
    assert document.metadata["title"] == "长" * 200


def test_a_folder_is_read_in_alphabetical_order_with_paths_below_it(tmp_path):
    for name in ("b.md", "a.txt", "deep/er/c.MARKDOWN", "ignored.exe", "deep/a.md", "没有后缀"):
        write_file(tmp_path / name, f"# {name}")
    (tmp_path / "folder.md").mkdir()
    sources = [document.metadata["source"] for document in read_documents([tmp_path])]
    assert sources == ["a.txt", "b.md", "deep/a.md", "deep/er/c.MARKDOWN"]


def test_hidden_files_and_locks_of_word_are_passed_over(tmp_path):
    for name in (".a.md", ".git/a.md", "deep/.b/c.md", "~$a.docx", "a.md"):
        write_file(tmp_path / name, "x")
    assert _sources(tmp_path) == ["a.md"]
    assert _sources(tmp_path / ".a.md") == [".a.md"]  # given by name, it is meant


def test_links_are_followed_only_to_files_of_the_same_folder(tmp_path):
    write_file(tmp_path / "secret.md", "secret")
    folder = tmp_path / "pages"
    write_file(folder / "..data" / "a.md", "x")
    for name, target in {
        "a.md": "..data/a.md",
        "out.md": "../secret.md",
        "up": "..",
        "gone.md": "none",
        "in": "..data",
    }.items():
        (folder / name).symlink_to(target)
    assert _sources(folder) == ["a.md"]
    (tmp_path / "link").symlink_to(folder)
    assert _sources(tmp_path / "link") == ["a.md"]  # the folder itself may be a link


def test_paths_are_read_in_the_order_given_and_once(tmp_path):
    paths = [write_file(tmp_path / name, "text") for name in ("b.md", "a.md")]
    assert _sources(*paths) == ["b.md", "a.md"]
    assert _sources(*paths, paths[0], tmp_path) == ["b.md", "a.md"]


def test_two_files_of_one_name_are_refused(tmp_path):
    paths = [write_file(tmp_path / folder / "a.md", folder).parent for folder in ("one", "two")]
    with pytest.raises(DocumentError, match=r"one/a\.md and .*two/a\.md would both be called a\.md"):
        list_files(paths)


@pytest.mark.parametrize(
    ("name", "reason"), [("none.md", "No such file"), ("none", "is none of"), ("a.exe", r"none of \.md, ")]
)
def test_a_path_that_cannot_be_read_is_refused(tmp_path, name, reason):
    with pytest.raises(DocumentError, match=reason) as caught:
        list(read_documents([tmp_path / name]))
    assert str(tmp_path / name) in str(caught.value)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.md")
    assert _sources(tmp_path) == []
    with pytest.raises(DocumentError, match="is no regular file"):
        list_files([tmp_path / "a.md"])


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DocumentError, match="Permission denied"):
        list_files([tmp_path])


def test_a_file_that_vanishes_or_is_too_large_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        read_document(tmp_path / "gone.md", source="gone.md")
    monkeypatch.setitem(documents._TEXT_READERS, ".md", (documents._read_text, 10))
    with pytest.raises(DocumentError, match="more than 10 bytes"):
        read_document(write_file(tmp_path / "a.md", "x" * 11), source="a.md")
    monkeypatch.setattr(documents, "MAX_DOCUMENT_CHARS", 5)
    with pytest.raises(DocumentError, match="at most 5"):
        read_document(write_file(tmp_path / "a.md", "x" * 9), source="a.md")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = write_file(tmp_path / os.fsdecode(b"\xff.md"), "x")
    with pytest.raises(DocumentError, match="lone surrogate") as caught:
        list(read_documents([path]))
    assert str(caught.value).encode("utf-8")


def test_a_source_can_be_given(tmp_path):
    assert read_document(write_file(tmp_path / "a.md", "x"), source="help/a").metadata["source"] == "help/a"
    with pytest.raises(DocumentError, match="rows"):
        read_document(write_file(tmp_path / "a.csv", "x"), source="a.csv")


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_mark_and_line_ends_leave_no_trace(tmp_path, codec):
    (document,) = read_documents([write_file(tmp_path / "a.md", "# 退货\r\n\r\nText\rEnd\n".encode(codec))])
    assert document.page_content == "# 退货\n\nText\nEnd\n"
    assert document.metadata["title"] == "退货"


@pytest.mark.parametrize("suffix", ["md", "txt", "html", "csv", "jsonl"])
def test_chinese_text_in_another_charset_says_how_to_convert_it(tmp_path, suffix):
    with pytest.raises(DocumentError, match="iconv -f GB18030 -t UTF-8") as caught:
        list(read_documents([write_file(tmp_path / f"a.{suffix}", "退货要多久".encode("gb18030"))]))
    assert f"a.{suffix} is no usable UTF-8 text: byte 0xcd at position 0" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", b"a\x00b", "NUL"),
        ("a.md", b"\xff\xffabc", "save it as UTF-8"),
        ("a.txt", b"\xff\xfea", "no usable UTF-16 text"),
        ("a.html", b"a\x00b", "NUL"),
        ("a.csv", b"a\x00b", "NUL"),
        ("a.jsonl", b"{}\x00", "NUL"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path, name, content, reason):
    with pytest.raises(DocumentError, match=reason) as caught:
        list(read_documents([write_file(tmp_path / name, content)]))
    assert str(tmp_path / name) in str(caught.value)
