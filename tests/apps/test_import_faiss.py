"""`tunechain import-faiss`: which encoder is meant, what is printed, how mistakes end."""

import pytest

from apps.settings import SETTINGS_NAME
from llms import LocalEmbeddings
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from tests.apps.test_cli import _elsewhere, fail, read_json, run
from tests.retrievers.community import old_class

__all__ = ["_elsewhere", "fail"]  # fixtures

TEXTS = ["where is my parcel", "my money back", "i lost the card"]


@pytest.fixture
def old_folder(tmp_path, encoder_folder):
    """A folder that the old class saved, with one document that cannot be taken over."""
    embedding = LocalEmbeddings(encoder_folder)
    store = old_class().from_texts(TEXTS, embedding, [{}, {"n": 1}, {"n": b"bytes"}], ids=["a", "b", "c[/b]"])
    store.save_local(str(tmp_path / "old"), index_name="shop")
    return tmp_path / "old"


def test_documents_come_over_and_skipped_ones_are_named(old_folder, encoder_folder, tmp_path):
    args = ["import-faiss", old_folder, "--out", tmp_path / "new", "--index-name", "shop", "--encoder", encoder_folder]
    result = run(*args, "--json")
    assert read_json(result) == [
        {
            "documents": 2,
            "skipped": [
                {"id": "c[/b]", "reason": "metadata cannot be kept: holds a value of type bytes, which is no JSON"}
            ],
            "notes": [],
        }
    ]
    assert "document c[/b] skipped: metadata cannot be kept" in result.stderr
    assert f"encoder: {encoder_folder} (as --encoder says)" in result.stderr
    assert run(*args).stdout == f"2 documents, 1 skipped, in {tmp_path / 'new'}\n"
    with FaissStore(tmp_path / "new", embedding=LocalEmbeddings(encoder_folder)) as store:
        assert store.similarity_search("my money back", k=1)[0].id == "b"


def test_the_encoder_is_that_of_the_workspace(old_folder, encoder_folder, tmp_path, monkeypatch):
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / SETTINGS_NAME).write_text(f"[models]\nencoder = '{encoder_folder}'\n", encoding="utf-8")
    args = ["import-faiss", old_folder, "--index-name", "shop", "--metric", "l2", "--namespace", "shop a", "--json"]
    result = run(*args, "--out", tmp_path / "named", "-w", workspace)
    assert f"of the workspace {workspace}" in result.stderr
    monkeypatch.chdir(workspace)
    assert read_json(run(*args, "--out", tmp_path / "found"))[0]["documents"] == 2
    assert FaissStore.namespaces(tmp_path / "found") == ["shop a"]
    with FaissStore(tmp_path / "found", namespace="shop a", embedding=LocalEmbeddings(encoder_folder)) as store:
        assert store.metric == "l2"


def test_without_a_workspace_the_default_encoder_is_named_with_the_reason(fail, old_folder, tmp_path):
    code, said = fail("import-faiss", old_folder, "--out", tmp_path / "new", "--index-name", "shop")
    assert code == 1
    assert "all-MiniLM-L6-v2 (the default: no tunechain.toml in" in said
    assert "this embedding gives 384; use the model it was built with" in said
    assert not (tmp_path / "new").exists()


def test_texts_are_embedded_again_and_vectors_of_other_things_taken_if_asked(encoder_folder, tmp_path):
    pairs = [(text, [float(place == number) for place in range(9)]) for number, text in enumerate(TEXTS)]
    old_class().from_embeddings(pairs, HashedEmbeddings()).save_local(str(tmp_path / "old"))
    args = ["import-faiss", tmp_path / "old", "--encoder", encoder_folder, "--json"]
    assert read_json(run(*args, "--out", tmp_path / "new", "--reembed"))[0]["documents"] == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{tmp}/none", "--encoder", "{encoder}"], "index.pkl cannot be read"),
        (["{old}", "-w", "{tmp}/none"], "is no workspace"),
        (["{old}", "--encoder", "{tmp}/none"], "none"),
        (["{tmp}/attack", "--encoder", "{encoder}"], "it names 'os.system', which is no document and is never run"),
    ],
)
def test_an_error_ends_with_its_message_and_makes_no_store(fail, tmp_path, old_folder, encoder_folder, args, message):
    (tmp_path / "attack").mkdir()
    (tmp_path / "attack" / "index.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    places = {"tmp": tmp_path, "old": old_folder, "encoder": encoder_folder}
    code, said = fail("import-faiss", *(arg.format(**places) for arg in args), "--out", tmp_path / "new")
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "new").exists()


def test_a_store_has_to_be_named(fail):
    code, said = fail("import-faiss", "old")
    assert code == 2
    assert "--out" in said
