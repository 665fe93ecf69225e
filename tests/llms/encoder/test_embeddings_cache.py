"""Vectors are kept by the content of their texts; a damaged entry is a miss, never a wrong vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_classic.storage import LocalFileStore
from langchain_core.stores import InMemoryByteStore

from llms import LocalEmbeddings, SqliteByteStore
from llms.encoder.vector_cache import decode_vector, encode_vector
from llms.errors import ByteStoreError, InputTextError

TEXTS = ["card", "refund my money", "退货"]


@pytest.fixture(params=["memory", "files", "sqlite"])
def store(request, tmp_path):
    if request.param == "memory":
        return InMemoryByteStore()
    if request.param == "files":
        return LocalFileStore(tmp_path / "files")
    return SqliteByteStore(tmp_path / "vectors.sqlite")


class Counting:
    """Embeddings with a cache, and the texts that the model really saw."""

    def __init__(self, folder, store, **options):
        self.embeddings = LocalEmbeddings(folder, cache=store, engine="torch", **options)
        self.seen = []
        encode = self.embeddings._encode
        self.embeddings._encode = lambda texts, role: self.seen.extend(texts) or encode(texts, role)


def test_only_missing_texts_are_embedded(encoder_folder, store):
    first, second = Counting(encoder_folder, store), Counting(encoder_folder, store)
    expected = first.embeddings.embed_documents(TEXTS)
    assert second.embeddings.embed_documents(["lost", *TEXTS, "lost"])[1:4] == expected
    assert (first.seen, second.seen) == (TEXTS, ["lost"])


def test_a_kept_vector_is_exactly_the_one_that_was_made(encoder_folder, store):
    embeddings = LocalEmbeddings(encoder_folder, cache=store)
    made, kept = embeddings.embed_array(TEXTS), embeddings.embed_array(TEXTS)
    assert made.tobytes() == kept.tobytes()
    assert kept.dtype == np.float32


def test_a_hit_loads_no_model(encoder_folder, store):
    LocalEmbeddings(encoder_folder, cache=store, engine="torch").embed_query("card")
    embeddings = LocalEmbeddings(encoder_folder, cache=store, engine="torch")
    embeddings.embed_query("card")
    assert "_encoder" not in vars(embeddings)


def test_roles_and_precisions_are_kept_apart(encoder_folder):
    store = InMemoryByteStore()
    for precision in ("float32", "bfloat16"):
        embeddings = LocalEmbeddings(encoder_folder, cache=store, engine="torch", precision=precision)
        embeddings.embed_query("card")
        embeddings.embed_documents(["card"])
    kinds = {tuple(key.split("/")[1:3]) for key in store.yield_keys()}
    assert kinds == {(f"torch-{name}", role) for name in ("float32", "bfloat16") for role in ("query", "document")}
    assert {key.split("/")[0] for key in store.yield_keys()} == {embeddings.fingerprint}


@pytest.mark.parametrize("damage", ["flipped bit", "cut", "longer", "empty", "of another text"])
def test_a_damaged_entry_is_a_miss_and_is_made_anew(encoder_folder, store, damage):
    counting = Counting(encoder_folder, store)
    expected = counting.embeddings.embed_documents(TEXTS)
    first, second = list(store.yield_keys())[:2]
    (value, other) = store.mget([first, second])
    broken = {
        "flipped bit": value[:-1] + bytes([value[-1] ^ 1]),
        "cut": value[:-4],
        "longer": value + bytes(4),
        "empty": b"",
        "of another text": other,
    }[damage]
    store.mset([(first, broken)])
    assert counting.embeddings.embed_documents(TEXTS) == [pytest.approx(vector, abs=1e-6) for vector in expected]
    assert len(counting.seen) == 4
    assert store.mget([first]) != [broken]


def test_a_refused_text_is_refused_before_anything_is_embedded(encoder_folder):
    store = InMemoryByteStore()
    with pytest.raises(InputTextError, match="NUL"):
        LocalEmbeddings(encoder_folder, cache=store).embed_documents(["card", "a\x00b"])
    assert list(store.yield_keys()) == []


def test_an_error_of_the_store_is_not_swallowed(encoder_folder, tmp_path):
    store = SqliteByteStore(tmp_path / "vectors.sqlite")
    store.close()
    with pytest.raises(ByteStoreError, match="closed"):
        LocalEmbeddings(encoder_folder, cache=store).embed_query("card")


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=8), st.text(max_size=5), st.binary(max_size=9)
)
def test_bytes_are_a_vector_only_as_they_were_written(values, key, noise):
    vector = np.array(values, dtype=np.float32)
    value = encode_vector(key, vector)
    assert decode_vector(key, value).tobytes() == vector.tobytes()
    assert decode_vector(key + "x", value) is None
    assert decode_vector(key, noise) is None
    assert decode_vector(key, value + noise) is None or not noise
