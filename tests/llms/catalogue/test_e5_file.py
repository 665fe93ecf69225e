"""The 4-bit encoder file as a sentence-transformers folder."""

import numpy as np
import pytest

from llms import LocalEmbeddings
from llms.catalogue.e5_file import convert_e5
from llms.errors import ModelFileError
from tests.llms.catalogue import published


@pytest.fixture(scope="module")
def content():
    return published.e5_file()


def test_weights_are_unpacked_and_the_folder_embeds(tmp_path, content):
    from transformers import AutoModel, AutoTokenizer

    data, words = content
    (tmp_path / "e5.bin").write_bytes(data)
    convert_e5(tmp_path / "e5.bin", tmp_path / "model")
    found = AutoModel.from_pretrained(tmp_path / "model").embeddings.word_embeddings.weight.detach().numpy()
    np.testing.assert_allclose(found, words, rtol=1e-6)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.tokenize("hello  ｘ") == ["▁he", "llo", "▁", "x"]  # NFKC, and one space for two
    assert tokenizer("x")["input_ids"][0] == 0
    embeddings = LocalEmbeddings(str(tmp_path / "model"), engine="torch")
    vector = np.array(embeddings.embed_query("hello"))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(vector, embeddings.embed_documents(["hello"])[0])  # "query: " and "passage: "


def test_damaged_files_are_refused(tmp_path, content):
    data, _ = content
    for wrong in (b"", b"E5S2" + data[4:], data[:50], data[:500], data[:-100]):
        (tmp_path / "e5.bin").write_bytes(wrong)
        with pytest.raises(ModelFileError):
            convert_e5(tmp_path / "e5.bin", tmp_path / "model")
        assert not (tmp_path / "model").exists()
