"""An index follows its files: counts, what is read and embedded again, and kills at the worst moments."""

import hashlib
import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import docx
import pytest
from langchain_core.documents import Document
from PIL import Image

from apps import indexing
from apps.errors import WorkspaceError
from apps.indexing import IndexReport, make_store_hold, refresh_index
from apps.ledger import FileEntry, FileLedger
from apps.settings import load_settings
from apps.training import index_items, index_knowledge
from apps.workspace_models import open_store
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, ParserLimits, ParserProcess, PassedOverFile, split_documents
from retrievers.documents import parse_file
from retrievers.errors import DocumentError
from retrievers.items import Item
from tests.apps.workspaces import write_workspace
from tests.retrievers.files import make_pdf, saved_bytes

REPOSITORY = Path(__file__).parents[2]


class CountingEmbeddings(HashedEmbeddings):
    """Remembers every text it embedded."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def embed_documents(self, texts):
        self.texts += texts
        return super().embed_documents(texts)


class KilledStore(FaissStore):
    """A store whose process ends before anything is deleted."""

    def delete(self, ids=None, **kwargs):
        raise KeyboardInterrupt


@pytest.fixture
def embeddings():
    return CountingEmbeddings()


@pytest.fixture
def pages(tmp_path):
    """A folder with the pages a.md and b.md."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "a.md").write_text("# Shoes\n\nRed shoes.\n", encoding="utf-8")
    (folder / "b.md").write_text("# Hats\n\nBlue hats.\n", encoding="utf-8")
    return folder


def _texts(store):
    return {(document.metadata["source"], document.page_content) for document in store.all_documents()}


def test_counts_are_of_files_and_a_second_run_embeds_nothing(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    assert refresh_index(store, [pages]) == IndexReport(added=2, updated=0, removed=0, unchanged=0)
    embeddings.texts.clear()
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=0, removed=0, unchanged=2)
    assert embeddings.texts == []


def test_only_what_changed_is_embedded_again(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    long = "# Coats\n\n" + "\n\n".join(f"## Part {number}\n\n{'word ' * 120}" for number in range(8))
    (pages / "c.md").write_text(long, encoding="utf-8")
    refresh_index(store, [pages])
    embeddings.texts.clear()
    (pages / "a.md").write_text("# Shoes\n\nGreen shoes.\n", encoding="utf-8")
    (pages / "b.md").unlink()
    (pages / "c.md").write_text(long + "The last word.", encoding="utf-8")
    (pages / "d.md").write_text("# Gloves\n", encoding="utf-8")
    assert refresh_index(store, [pages]) == IndexReport(added=1, updated=2, removed=1, unchanged=0)
    assert len(embeddings.texts) == 3  # of the long page only its last chunk
    assert {source for source, _ in _texts(store)} == {"a.md", "c.md", "d.md"}
    assert not any("Red" in text or "Blue" in text for _, text in _texts(store))


def test_a_new_title_reaches_every_chunk_of_its_page(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    page = "# Cable\n\n" + "\n\n".join(f"## Part {number}\n\n{'word ' * 150}" for number in range(3))
    (pages / "a.md").write_text(page, encoding="utf-8")
    refresh_index(store, [pages])
    (pages / "a.md").write_text(page.replace("Cable", "Table"), encoding="utf-8")
    assert refresh_index(store, [pages]).updated == 1
    fresh = FaissStore(embedding=embeddings)
    refresh_index(fresh, [pages])
    assert _texts(store) == _texts(fresh)


def test_a_renamed_page_is_one_removed_and_one_added(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    (pages / "a.md").rename(pages / "z.md")
    assert refresh_index(store, [pages]) == IndexReport(added=1, updated=0, removed=1, unchanged=1)


def test_a_kill_between_adding_and_deleting_is_repaired_by_the_next_run(pages, tmp_path, embeddings):
    folder = tmp_path / "index"
    with FaissStore(folder, embedding=embeddings) as store:
        refresh_index(store, [pages])
    (pages / "a.md").write_text("# Shoes\n\nGreen shoes.\n", encoding="utf-8")
    (pages / "b.md").unlink()
    killed = KilledStore(folder, embedding=embeddings)
    with pytest.raises(KeyboardInterrupt):
        refresh_index(killed, [pages])
    killed.close()
    store = FaissStore(folder, embedding=embeddings)
    assert len(store) == 3  # the new is there, the old still, nothing is lost
    embeddings.texts.clear()
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=1, removed=1, unchanged=0)
    assert embeddings.texts == []
    assert _texts(store) == {("a.md", "Shoes\n\n# Shoes\n\nGreen shoes.")}


def test_an_empty_folder_empties_the_index(pages, tmp_path, embeddings):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    (tmp_path / "empty").mkdir()
    assert refresh_index(store, [tmp_path / "empty"]) == IndexReport(added=0, updated=0, removed=2, unchanged=0)
    assert len(store) == 0


def test_a_page_that_cannot_be_read_is_reported_keeps_its_chunks_and_stops_no_other(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    before = _texts(store)
    (pages / "a.md").write_bytes("退货".encode("gb18030"))
    (pages / "b.md").write_text("# Hats\n\n绿色的帽子。\n", encoding="utf-8")
    report = refresh_index(store, [pages])
    assert (report.added, report.updated, report.removed, report.unchanged) == (0, 1, 0, 0)
    (failed,) = report.failed
    assert failed.source == "a.md"
    assert "GB18030" in failed.reason
    assert {text for text in before if text[0] == "a.md"} < _texts(store)
    assert ("b.md", "Hats\n\n# Hats\n\n绿色的帽子。") in _texts(store)
    (pages / "a.md").unlink()
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=0, removed=1, unchanged=1)


@pytest.mark.parametrize("path", ["none", "none.md", "c.exe"])
def test_a_path_that_cannot_be_read_changes_nothing(pages, embeddings, path):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    before = _texts(store)
    with pytest.raises(DocumentError, match=path):
        refresh_index(store, [pages, pages / path])
    assert _texts(store) == before


def test_a_page_of_the_same_content_is_not_even_parsed(pages, tmp_path, embeddings, monkeypatch):
    with FaissStore(tmp_path / "index", embedding=embeddings) as store:
        refresh_index(store, [pages])
    (pages / "a.md").touch()
    monkeypatch.setattr(indexing, "parse_file", None)
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=0, removed=0, unchanged=2)


def test_pages_are_parsed_again_when_the_rules_change(pages, tmp_path, embeddings, monkeypatch):
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    refresh_index(store, [pages])
    parsed = []
    monkeypatch.setattr(indexing, "_RULES", "other")
    monkeypatch.setattr(indexing, "parse_file", lambda raw, path, source: parsed.append(source) or [])
    assert refresh_index(store, [pages]).removed == 2
    assert parsed == ["a.md", "b.md"]


def test_the_rules_number_is_raised_with_the_rules():
    text = "# 退货\n\n七天内可以退货。请保留包装！\n\n| a | b |\n| - | - |\n" + "| 1 | 2 |\n" * 5 + "\n"
    text += "## B\n\n- one\n- two\n\n```\nx\n```\n"
    files = {
        "a.md": text,
        "b.html": "<h1>A</h1><p>B<sup>2</sup><ol start=3><li>c</ol><table><tr><th>k<td>v</table>",
        "c.csv": "text,n\nx,1\n",
    }
    chunks = [
        chunk
        for name, content in files.items()
        for chunk in split_documents(parse_file(content.encode(), Path(name), source=name), chunk_chars=60)
    ]
    parts = [(chunk.id, chunk.page_content, chunk.metadata) for chunk in chunks]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    # if this fails, files now give other chunks: raise _RULES, so that indexes follow, and put the new digest here
    assert (indexing._RULES, digest[:16]) == ("4", "6feb12bbfac3e92a")


def _assert_every_file_counts_once(report):
    counted = report.added + report.updated + report.unchanged + len(report.failed) + len(report.passed_over)
    assert report.found == counted


def test_a_file_without_text_is_passed_over_each_time_and_its_old_text_removed(pages, tmp_path, embeddings):
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    (pages / "c.md").write_text("\n", encoding="utf-8")
    assert refresh_index(store, [pages]).added == 2
    (pages / "a.md").write_text("", encoding="utf-8")
    reasons = [PassedOverFile(name, "is empty; delete it, or put text into it") for name in ("a.md", "c.md")]
    expected = IndexReport(added=0, updated=0, removed=1, unchanged=1, passed_over=reasons)
    assert refresh_index(store, [pages]) == expected
    assert refresh_index(store, [pages]) == replace(expected, removed=0)
    assert (expected.found, {source for source, _ in _texts(store)}) == (3, {"b.md"})


def _scan():
    document = docx.Document()
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    document.add_picture(buffer)
    return saved_bytes(document)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.doc", b"x", "save it as .docx"),
        ("a.rtf", b"x", "save it as .docx"),
        ("表格.XLS", b"x", "save it as .xlsx"),
        ("a.ppt", b"x", "save it as .pptx"),
        ("a.json", b"{}", ".jsonl"),
        ("README", b"x", "has no suffix"),
        ("photo.JPG", b"x", "OCR"),
        ("a.zip", b"x", "unpack it"),
        ("a.exe", b"x", "convert it first"),
        (".hidden.md", b"x", "hidden"),
        ("~$a.docx", b"x", "a program's own"),
        ("Thumbs.db", b"x", "a program's own"),
        ("scan.docx", _scan(), "OCR"),
        ("scan.pdf", make_pdf([], []), "OCR"),
        ("script.html", b"<noscript>Please turn on JavaScript.</noscript>", "scripts"),
        ("picture.html", b"<img src=a.png>", "OCR"),
        ("empty.csv", b"text,lang\n", "has no rows"),
        ("blank.csv", b"text,lang\n,en\n  ,de\n", "has no text in any row"),
        ("blank.jsonl", b'{"text": ""}\n{"content": "\\u200b"}\n', "has no text in any row"),
        ("nothing.ndjson", b"{}\n{}\n", "has no text in any row"),
        ("unseen.md", "\u200b\ufeff \u2060\n".encode(), "is empty"),
        ("unseen.html", "<p>\u200e</p>\u00ad".encode(), "is empty"),
        ("empty.txt", b"", "is empty"),
    ],
)
def test_no_file_is_left_out_in_silence(pages, embeddings, name, content, reason):
    (pages / name).write_bytes(content)
    report = refresh_index(FaissStore(embedding=embeddings), [pages])
    ((source, why),) = [(file.source, file.reason) for file in report.passed_over]
    assert (source, report.added, report.found) == (name, 2, 3)
    assert reason in why
    assert str(pages) not in why


def test_the_counts_add_up_to_the_files_that_are_there(pages, embeddings):
    for name, content in {
        "blank.csv": "text\n\n ,\n",
        "half.csv": "text,lang\n,en\nok,de\n",
        "nothing.jsonl": "{}\n",
        "rule.md": "---\n",
        "comment.md": "<!-- x -->\n",
        "marks.md": "#\n##\n",
        "title.html": "<title>T</title>",
        "hidden.html": "<p hidden>x</p>",
        "cut.docx": "PK",
        "bad.csv": 'text\n"x\n',
        "a.doc": "x",
    }.items():
        (pages / name).write_text(content, encoding="utf-8")
    store = FaissStore(embedding=embeddings)
    for _ in range(2):
        assert refresh_index(store, [pages]).found == len(list(pages.iterdir()))


def test_folders_and_links_that_are_not_followed_are_named(pages, tmp_path, embeddings):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.md").write_text("x", encoding="utf-8")
    (pages / ".git").mkdir()
    (pages / ".git" / "config.md").write_text("x", encoding="utf-8")
    for name, target in {
        "folder": tmp_path / "other",
        "out.md": tmp_path / "other" / "c.md",
        "gone.md": "none",
    }.items():
        (pages / name).symlink_to(target)
    report = refresh_index(FaissStore(embedding=embeddings), [pages])
    assert {file.source: file.reason.split(";")[0] for file in report.passed_over} == {
        ".git": "is a hidden folder",
        "folder": "is a link to a folder, which is not followed",
        "gone.md": "is a link that leads nowhere",
        "out.md": "is a link out of the folder, which is not followed",
    }
    _assert_every_file_counts_once(report)


def test_files_that_were_known_are_read_again_by_readers_of_another_version(pages, embeddings, monkeypatch):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    monkeypatch.setattr(indexing, "_RULES", "other")
    monkeypatch.setattr(indexing, "parse_file", lambda *_, source: [Document("new", metadata={"source": source})])
    assert refresh_index(store, [pages]).updated == 2


@pytest.mark.parametrize(
    ("what", "reason"),
    [("compute", "longer than 1 seconds"), ("keep 900000000", "more than 100 MB of memory"), ("die", "SIGSEGV")],
)
def test_a_file_that_hangs_fills_or_ends_its_reader_fails_and_the_others_are_indexed(pages, embeddings, what, reason):
    store = FaissStore(embedding=embeddings)
    for name, content in {"b2.html": "two", "c.html": "three", "d.docx": "four"}.items():
        (pages / name).write_text(content, encoding="utf-8")
    limits = ParserLimits(cpu_s=1, memory_bytes=100_000_000)
    with ParserProcess(limits=limits, parser="tests.retrievers.parsers:misbehave") as parser:
        assert refresh_index(store, [pages], parser=parser).added == 5
        (pages / "c.html").write_text(what, encoding="utf-8")
        (pages / "d.docx").write_text("five", encoding="utf-8")
        report = refresh_index(store, [pages], parser=parser)
    (failed,) = report.failed
    assert (failed.source, report.updated, report.unchanged) == ("c.html", 1, 3)
    assert reason in failed.reason
    texts = {document.page_content for document in store.all_documents()}
    assert {"three", "five"} < texts  # what the index held of the file stays
    assert what not in texts


def test_only_files_that_hold_more_than_their_text_are_parsed_in_a_process_of_its_own(pages, embeddings):
    (pages / "c.csv").write_text("text\nx\n", encoding="utf-8")
    with ParserProcess(parser="none:none") as parser:
        assert refresh_index(FaissStore(embedding=embeddings), [pages], parser=parser).added == 3
        (pages / "d.html").write_text("<p>x", encoding="utf-8")
        with pytest.raises(DocumentError, match="ended the process"):
            parser.parse(b"<p>x", pages / "d.html", source="d.html")


def test_rows_are_documents_of_one_file(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    (pages / "c.csv").write_text("text,lang\n七天内可以退货。,zh\nSeven days.,en\nSeven days.,en\n", encoding="utf-8")
    assert refresh_index(store, [pages]).added == 3
    rows = [document.metadata for document in store.all_documents() if document.metadata["source"] == "c.csv"]
    assert sorted((row["row"], row["lang"]) for row in rows) == [(1, "zh"), (2, "en"), (3, "en")]


def test_documents_of_somebody_else_are_removed(pages, tmp_path, embeddings):
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    refresh_index(store, [pages])
    store.add_texts(["stray"], ids=["stray"])
    store.delete([next(document.id for document in store.all_documents() if document.metadata["source"] == "a.md")])
    # as many documents as before, but not the same
    assert refresh_index(store, [pages]) == IndexReport(added=1, updated=0, removed=1, unchanged=1)
    assert {source for source, _ in _texts(store)} == {"a.md", "b.md"}


@pytest.mark.parametrize("content", [b"no database" * 1000, b"", None])
def test_a_damaged_or_missing_ledger_is_made_anew_from_the_store(pages, tmp_path, embeddings, content):
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    refresh_index(store, [pages])
    path = tmp_path / "index" / "files.sqlite"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (pages / "a.md").unlink()
    embeddings.texts.clear()
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=0, removed=1, unchanged=1)
    assert embeddings.texts == []


def test_a_ledger_that_somebody_else_holds_is_a_clear_error(tmp_path):
    FileLedger(tmp_path).close()
    other = sqlite3.connect(tmp_path / "files.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkspaceError, match="end other programs"):
        FileLedger(tmp_path, timeout_s=0.1)
    other.close()


def test_a_ledger_of_another_format_is_begun_anew(tmp_path):
    with FileLedger(tmp_path) as ledger:
        ledger.write([FileEntry("a.md", "print", ("1",))])
    database = sqlite3.connect(tmp_path / "files.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with FileLedger(tmp_path) as ledger:
        assert ledger.fingerprints() == {}


def test_progress_rises_to_the_number_of_files(pages, embeddings, monkeypatch):
    monkeypatch.setattr(indexing, "_BATCH_CHUNKS", 2)
    (pages / "long.md").write_text("\n\n".join(f"# {n}\n\n退货。" for n in range(9)), encoding="utf-8")
    steps = []
    refresh_index(FaissStore(embedding=embeddings), [pages], on_progress=lambda *step: steps.append(step))
    done = [step for step, _ in steps]
    assert done == sorted(done)
    assert steps[-1] == (3, 3)
    assert any(2 < step < 3 for step in done)  # a long file moves the bar, too
    assert {total for _, total in steps} == {3}


def test_large_files_are_stored_in_batches_and_a_stop_keeps_those_done(tmp_path, embeddings, monkeypatch):
    monkeypatch.setattr(indexing, "_BATCH_CHUNKS", 4)
    (tmp_path / "long.md").write_text("\n\n".join(f"# {n}\n\n退货。" for n in range(10)), encoding="utf-8")
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    sizes = []
    add = store.add_documents

    def add_twice(documents, **kwargs):
        if len(sizes) == 2:
            raise KeyboardInterrupt
        sizes.append(len(documents))
        return add(documents, **kwargs)

    monkeypatch.setattr(store, "add_documents", add_twice)
    with pytest.raises(KeyboardInterrupt):
        refresh_index(store, [tmp_path / "long.md"])
    assert (sizes, len(store)) == ([4, 4], 8)
    monkeypatch.undo()
    embeddings.texts.clear()
    refresh_index(store, [tmp_path / "long.md"])
    assert (len(embeddings.texts), len(store)) == (2, 10)


def test_a_page_put_back_after_a_kill_is_right_again(pages, tmp_path, embeddings, monkeypatch):
    """The ids stay while the title changes, so that only the note made before the write tells."""
    old = "## Part\n\nText.\n"
    (pages / "a.md").write_text(f"# Red\n\n{old}", encoding="utf-8")
    store = FaissStore(tmp_path / "index", embedding=embeddings)
    refresh_index(store, [pages])
    right = _texts(store)

    class KilledLedger(FileLedger):
        def write(self, entries):
            raise KeyboardInterrupt

    (pages / "a.md").write_text(f"# Tan\n\n{old}", encoding="utf-8")
    monkeypatch.setattr(indexing, "FileLedger", KilledLedger)
    with pytest.raises(KeyboardInterrupt):
        refresh_index(store, [pages])
    monkeypatch.undo()
    assert _texts(store) != right
    (pages / "a.md").write_text(f"# Red\n\n{old}", encoding="utf-8")
    refresh_index(store, [pages])
    assert _texts(store) == right


_INDEX_SLOWLY = """
import sys, time
from pathlib import Path
from apps import indexing
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore

class SlowEmbeddings(HashedEmbeddings):
    def embed_documents(self, texts):
        print("embedding", flush=True)
        time.sleep(0.02)
        return super().embed_documents(texts)

indexing._BATCH_CHUNKS = 5
store = FaissStore(Path(sys.argv[1]), embedding=SlowEmbeddings())
indexing.refresh_index(store, [Path(sys.argv[2])])
"""


def test_killed_at_any_moment_the_next_run_completes_the_index(tmp_path, embeddings):
    pages, index = tmp_path / "pages", tmp_path / "index"
    pages.mkdir()
    for number in range(40):
        sections = "\n\n".join(f"## {part}\n\n退货 {number} {part}。" for part in range(number % 7 + 1))
        (pages / f"{number}.md").write_text(f"# Page {number}\n\n{sections}", encoding="utf-8")
    sizes = []
    for kill_at_batch, delay_s in ((2, 0.0), (3, 0.021), (4, 0.03)):
        process = subprocess.Popen(
            [sys.executable, "-c", _INDEX_SLOWLY, str(index), str(pages)], stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        for _ in range(kill_at_batch):
            assert process.stdout.readline() == b"embedding\n"
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with FaissStore(index, embedding=HashedEmbeddings()) as store:
            sizes.append(len(store))
        (pages / f"{len(sizes)}.md").write_text("# Changed\n\n换货。", encoding="utf-8")
        (pages / f"{len(sizes) + 10}.md").unlink()
    store, fresh = FaissStore(index, embedding=embeddings), FaissStore(embedding=HashedEmbeddings())
    refresh_index(store, [pages])
    refresh_index(fresh, [pages])
    assert 0 < sizes[0] < sizes[-1]  # work done before the kill was kept
    assert _texts(store) == _texts(fresh)
    assert len(store) == len(fresh)
    assert refresh_index(store, [pages]) == IndexReport(added=0, updated=0, removed=0, unchanged=37)


def test_a_changed_price_reaches_the_item_index(embeddings):
    store = FaissStore(embedding=embeddings)
    cheap, dear = (Item(id="a", title="A", price=price, tags=("x",)).to_document() for price in (1, 2))
    other = Item(id="b", title="B").to_document()
    assert make_store_hold(store, [cheap, other]) == [cheap, other]
    assert make_store_hold(store, [cheap, other]) == []
    assert make_store_hold(store, [dear]) == [dear, other]
    assert [document.metadata["price"] for document in store.all_documents()] == [2.0]


def test_the_indexes_of_a_workspace_hold_its_articles_and_items(tmp_path, encoder_folder):
    settings = load_settings(write_workspace(tmp_path / "w", encoder_folder))
    assert index_knowledge(settings).added == 2
    assert {document.metadata["source"] for document in open_store(settings, "knowledge").all_documents()} == {
        "battery.md",
        "deep/cable.md",
    }
    assert index_items(settings) == 16
    items = settings.workspace / "recommendation" / "items.csv"
    lines = items.read_text(encoding="utf-8").splitlines()
    items.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    assert index_items(settings) == 15
    assert len(open_store(settings, "items")) == 15
