"""Vectors read from a FAISS file are those that FAISS gives back; no bytes end in anything but a typed error."""

import struct

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.errors import OldStoreError
from retrievers.importing.faiss_file import read_faiss_file

DIMENSION, NUM_VECTORS = 8, 40


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((NUM_VECTORS, DIMENSION)).astype(np.float32)


def trained(index, vectors):
    """The index, given the vectors."""
    index.train(vectors)
    index.add(vectors)
    return index


def _over_hnsw(vectors):
    ivf = faiss.IndexIVFFlat(faiss.IndexHNSWFlat(DIMENSION, 4), DIMENSION, 2, faiss.METRIC_INNER_PRODUCT)
    return trained(ivf, vectors)


def _with_table(vectors):
    index = faiss.index_factory(DIMENSION, "IVF2,Flat")
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    return trained(index, vectors)


def _with_map(vectors):
    index = trained(faiss.index_factory(DIMENSION, "IVF2,Flat"), vectors)
    index.make_direct_map()
    return index


def _with_few_full_lists(vectors):
    index = faiss.index_factory(DIMENSION, "IVF16,Flat")
    index.train(vectors)
    index.add(vectors[:3])
    return index


INDEXES = {
    "flat l2": lambda vectors: trained(faiss.IndexFlatL2(DIMENSION), vectors),
    "flat inner product": lambda vectors: trained(faiss.IndexFlatIP(DIMENSION), vectors),
    "flat l1": lambda vectors: trained(faiss.IndexFlat(DIMENSION, faiss.METRIC_L1), vectors),
    "flat lp": lambda vectors: trained(faiss.IndexFlat(DIMENSION, faiss.METRIC_Lp), vectors),
    "hnsw": lambda vectors: trained(faiss.IndexHNSWFlat(DIMENSION, 4), vectors),
    "ivf": lambda vectors: trained(faiss.index_factory(DIMENSION, "IVF2,Flat"), vectors),
    "ivf over hnsw": _over_hnsw,
    "ivf with a table": _with_table,
    "ivf with a map": _with_map,
    "ivf with few full lists": _with_few_full_lists,
    "empty": lambda vectors: faiss.IndexFlatL2(DIMENSION),
}


def save(index, folder):
    """The file of an index."""
    faiss.write_index(index, str(folder / "index.faiss"))
    return folder / "index.faiss"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", INDEXES)
def test_the_vectors_are_those_that_faiss_gives_back(vectors, tmp_path, name):
    index = INDEXES[name](vectors)
    found = read_faiss_file(save(index, tmp_path))
    assert found.positions.tolist() == list(range(index.ntotal))
    assert np.array_equal(found.vectors, vectors[: index.ntotal])
    assert found.vectors.shape[1] == DIMENSION
    assert found.is_gapless
    expected = {faiss.METRIC_L2: "l2", faiss.METRIC_INNER_PRODUCT: "inner_product"}.get(index.metric_type)
    assert found.metric == expected


def test_vectors_removed_from_an_ivf_index_leave_gaps(vectors, tmp_path):
    index = INDEXES["ivf"](vectors)
    index.remove_ids(np.array([3, 5]))
    found = read_faiss_file(save(index, tmp_path))
    assert found.positions.tolist() == [position for position in range(NUM_VECTORS) if position not in (3, 5)]
    assert np.array_equal(found.vectors, np.delete(vectors, [3, 5], axis=0))
    assert not found.is_gapless


@pytest.mark.parametrize(
    "kind", ["SQ8", "PQ4x4", "IVF1,PQ4x4", "PCA4,Flat", "Flat,RFlat", "HNSW4,SQ8", "LSH", "IDMap2,Flat"]
)
def test_vectors_that_are_not_whole_are_refused_with_what_to_do(vectors, tmp_path, kind):
    index = faiss.index_factory(DIMENSION, kind)
    index.train(vectors)
    with pytest.raises(OldStoreError, match=r"index\.faiss holds .*reembed=True, or --reembed"):
        read_faiss_file(save(index, tmp_path))


@pytest.mark.parametrize("name", ["flat l2", "hnsw", "ivf", "ivf with a table", "ivf over hnsw"])
def test_a_file_cut_anywhere_or_gone_on_is_refused(vectors, tmp_path, name):
    path = save(INDEXES[name](vectors), tmp_path)
    content = path.read_bytes()
    for length in [*range(min(len(content), 400)), *range(400, len(content), 37)]:
        path.write_bytes(content[:length])
        with pytest.raises(OldStoreError):
            read_faiss_file(path)
    path.write_bytes(content + b"\x00")
    with pytest.raises(OldStoreError, match="1 bytes follow the index"):
        read_faiss_file(path)


@pytest.mark.parametrize("name", ["flat l2", "hnsw", "ivf", "ivf with a table", "ivf with few full lists"])
@given(data=st.data())
def test_changed_bytes_give_vectors_or_a_typed_error(vectors, tmp_path_factory, name, data):
    path = save(INDEXES[name](vectors), tmp_path_factory.mktemp("changed"))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, min(len(content) - 1, 400)))
        content[position : position + 1] = bytes([data.draw(st.integers(0, 255))])
    path.write_bytes(content)
    try:
        found = read_faiss_file(path)
    except OldStoreError:
        return
    assert found.vectors.nbytes <= len(content)
    assert len(found.positions) == len(found.vectors)


@pytest.mark.parametrize("num_vectors", [-1, 2**40, 2**62, 2**63 - 1])
@pytest.mark.parametrize("dimension", [-1, 0, 1, 65_537, 2**31 - 1])
def test_a_head_that_says_more_than_is_there_allocates_nothing(tmp_path, num_vectors, dimension):
    head = struct.pack("<4siqqqBiQ", b"IxF2", dimension, num_vectors, 1, 1, 1, 1, 2**61)
    (tmp_path / "index.faiss").write_bytes(head + b"\x00" * 64)
    with pytest.raises(OldStoreError, match="is damaged"):
        read_faiss_file(tmp_path / "index.faiss")


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(OldStoreError, match="cannot be read: No such file"):
        read_faiss_file(tmp_path / "none.faiss")
    (tmp_path / "empty.faiss").touch()
    with pytest.raises(OldStoreError, match="is empty"):
        read_faiss_file(tmp_path / "empty.faiss")
