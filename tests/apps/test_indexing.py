"""An index follows its files: counts, what is embedded again, and a kill at the worst moment."""

import pytest

from apps.indexing import IndexReport, make_store_hold, refresh_index
from apps.settings import load_settings
from apps.training import index_items, index_knowledge
from apps.wiring import open_store
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import DocumentError
from retrievers.items import Item
from tests.apps.workspaces import write_workspace


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
    long = "# Coats\n\n" + "\n\n".join(f"## Part {number}\n\n{'word ' * 120}" for number in range(4))
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
    refresh_index(FaissStore(folder, embedding=embeddings), [pages])
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


def test_a_page_that_cannot_be_read_changes_nothing(pages, embeddings):
    store = FaissStore(embedding=embeddings)
    refresh_index(store, [pages])
    before = _texts(store)
    (pages / "a.md").write_bytes("退货".encode("gb18030"))
    with pytest.raises(DocumentError, match=r"a\.md"):
        refresh_index(store, [pages])
    assert _texts(store) == before


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
