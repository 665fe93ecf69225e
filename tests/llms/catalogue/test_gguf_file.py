"""GGUF files as model folders: the same answers, and every file that is no such model refused."""

import pytest

from llms import LocalChatModel
from llms.catalogue.gguf_file import convert_gguf
from llms.errors import ModelFileError
from tests.llms.catalogue import published


@pytest.fixture(scope="module")
def model():
    return published.llama()


@pytest.fixture
def file(tmp_path, model):
    return published.write_gguf(tmp_path / "tiny.gguf", model)


def test_weights_tokenizer_and_template_are_those_of_the_file(tmp_path, model, file):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    convert_gguf(file, tmp_path / "model")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert found.dtype == torch.bfloat16
    for name, weights in model.state_dict().items():
        # 16-bit floats, then bfloat16
        torch.testing.assert_close(found.state_dict()[name].float(), weights, rtol=0.01, atol=1e-3)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.chat_template == published.TEMPLATE
    assert tokenizer.tokenize("hello") == ["hell", "o"]
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], return_dict=False)
    assert tokenizer.decode(ids).startswith("<|im_start|>user\nhi<|im_end|>")
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False) == [2]


def test_the_folder_is_a_chat_model(tmp_path, file):
    convert_gguf(file, tmp_path / "model")
    chat = LocalChatModel(model=str(tmp_path / "model"), engine="torch", max_tokens=3)
    assert chat.invoke("hello").usage_metadata["output_tokens"] <= 3


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F32", "BF16"])
def test_usual_types_of_weights_are_read(tmp_path, model, kind):
    import torch
    from transformers import AutoModelForCausalLM

    file = published.write_gguf(tmp_path / "tiny.gguf", model, kind=kind)
    convert_gguf(file, tmp_path / "model")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    name = "model.layers.1.self_attn.k_proj.weight"
    expected = model.state_dict()[name]
    distance = (found[name].float() - expected).abs().mean() / expected.abs().mean()
    assert distance < (0.12 if kind.startswith("Q4") else 0.01)
    assert torch.isfinite(found[name]).all()


def test_large_models_are_written_in_shards(tmp_path, model, file, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("llms.catalogue.gguf_file._SHARD_BYTES", 30_000)
    convert_gguf(file, tmp_path / "model")
    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 2
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    torch.testing.assert_close(
        found["model.norm.weight"].float(), model.state_dict()["model.norm.weight"], rtol=0.01, atol=1e-3
    )


def test_files_that_are_cut_off_are_refused(tmp_path, file):
    whole = file.read_bytes()
    for share in (0.0, 0.001, 0.05, 0.5, 0.999):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ModelFileError, match=r"cut off|no complete|no GGUF"):
            convert_gguf(file, tmp_path / "model")
        assert not (tmp_path / "model").exists()


def test_other_files_and_architectures_are_refused_by_name(tmp_path, model):
    other = tmp_path / "renamed.gguf"
    other.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(ModelFileError, match="does not begin with 'GGUF'"):
        convert_gguf(other, tmp_path / "model")
    foreign = published.write_gguf(tmp_path / "foreign.gguf", model, architecture="falcon")
    with pytest.raises(ModelFileError, match="architecture 'falcon'; offered are llama"):
        convert_gguf(foreign, tmp_path / "model")
