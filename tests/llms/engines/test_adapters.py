"""Adapters: each answers as PEFT's own `generate`, and none is felt by requests under another."""

import peft
import pytest
import torch

from llms import LocalChatModel
from llms.engines.adapters import Adapter
from llms.engines.calls import run_requests
from llms.engines.requests import GenerationRequest
from llms.engines.torch_backend.engine import TorchEngine
from llms.errors import ModelFolderError, ModelNotFoundError, UnsafeModelError, UnsupportedOptionError
from llms.options import GenerationOptions
from tests.llms.engines.decoders import build_decoder, expected_ids, greedy_ids, prompts
from tests.tiny_models import build_chat_model, build_chat_tokenizer

TARGETS = {"target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM"}
CONFIGURATIONS = {
    "lora": lambda: peft.LoraConfig(r=4, **TARGETS),
    "dora": lambda: peft.LoraConfig(r=4, use_dora=True, **TARGETS),
    "adalora": lambda: peft.AdaLoraConfig(init_r=6, target_r=4, total_step=10, **TARGETS),
    "ia3": lambda: peft.IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
    ),
    "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
}


def save_adapter(kind, folder, *, base, seed):
    """Write an adapter with random weights large enough to change every answer."""
    model = peft.get_peft_model(base, CONFIGURATIONS[kind]())
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn_like(weight) * (2.0 if "prompt" in name else 0.5))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Kind -> an adapter of that kind; two of LoRA."""
    folder = tmp_path_factory.mktemp("adapters")
    made = {kind: save_adapter(kind, folder / kind, base=build_decoder("llama"), seed=1) for kind in CONFIGURATIONS}
    made["other lora"] = save_adapter("lora", folder / "other", base=build_decoder("llama"), seed=2)
    return {kind: Adapter.at(path) for kind, path in made.items()}


@pytest.fixture(scope="module")
def engine():
    return TorchEngine(build_decoder("llama"), build_chat_tokenizer())


def _peft_ids(adapter, prompt):
    model = peft.PeftModel.from_pretrained(build_decoder("llama"), adapter.folder)
    answer = model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
        max_new_tokens=12,
        min_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
    )
    return answer[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_every_method_gives_the_tokens_of_pefts_own_generate(engine, adapters, kind):
    asked = prompts(9, 30, 18)
    answers = greedy_ids(engine, asked, adapter=adapters[kind])
    assert answers == [_peft_ids(adapters[kind], prompt) for prompt in asked]
    assert all(answer != expected_ids(engine.model, prompt) for answer, prompt in zip(answers, asked, strict=True))


def test_the_same_prompt_under_changing_adapters_never_sees_another_ones_cache(engine, adapters):
    (prompt,) = prompts(60, seed=4)
    order = ["lora", "other lora", "lora", None, "prefix", "dora", None, "lora"]
    for kind in order:
        adapter = adapters.get(kind)
        expected = expected_ids(engine.model, prompt) if adapter is None else _peft_ids(adapter, prompt)
        assert greedy_ids(engine, [prompt], adapter=adapter) == [expected]


def test_requests_under_different_adapters_run_at_the_same_time(engine, adapters):
    asked = prompts(20, 25, seed=5)
    kinds = [*adapters, None]
    options = GenerationOptions(max_new_tokens=12)
    requests = [
        GenerationRequest(prompt_ids=prompt, options=options, adapter=adapters.get(kind))
        for prompt in asked
        for kind in kinds
    ]
    expected = [
        expected_ids(engine.model, prompt) if kind is None else _peft_ids(adapters[kind], prompt)
        for prompt in asked
        for kind in kinds
    ]
    assert [list(event.ids) for event in run_requests(engine, requests)] == expected


def test_an_adapter_costs_no_second_copy_of_the_weights(engine, adapters):
    greedy_ids(engine, prompts(5), adapter=adapters["lora"])
    network = engine._networks[adapters["lora"]].network
    base = {tensor.data_ptr() for tensor in engine.model.parameters()}
    own = [tensor for name, tensor in network.named_parameters() if "lora_" in name]
    shared = [tensor for name, tensor in network.named_parameters() if "lora_" not in name]
    assert own
    assert {tensor.data_ptr() for tensor in shared} == base


def test_scores_are_those_of_the_adapter(engine, adapters):
    prompt, continuation = prompts(20, 3, seed=6)
    model = peft.PeftModel.from_pretrained(build_decoder("llama"), adapters["lora"].folder)
    with torch.inference_mode():
        logprobs = model(torch.tensor([prompt + continuation])).logits[0].log_softmax(-1)
    expected = sum(float(logprobs[19 + i, token]) for i, token in enumerate(continuation))
    assert engine.score(prompt, [continuation], adapter=adapters["lora"]) == pytest.approx([expected], abs=1e-3)


@pytest.fixture(scope="module")
def chat_model_with_adapter(tmp_path_factory):
    folder = build_chat_model(tmp_path_factory.mktemp("chat") / "base")
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder)
    adapter = save_adapter("lora", tmp_path_factory.mktemp("chat") / "adapter", base=base, seed=3)
    return LocalChatModel(model=str(folder), adapters={"refunds": str(adapter)}, max_tokens=8)


def test_a_call_chooses_the_adapter_by_name(chat_model_with_adapter):
    model = chat_model_with_adapter
    assert "adapters" in model.engine_reason
    base, adapted, again = (m.invoke("hi").text for m in (model, model.bind(adapter="refunds"), model))
    assert base == again != adapted
    assert model.batch(["hi"] * 3, adapter="refunds")[2].text == adapted
    assert model.score_choices("hi", ["a", "b"]) != model.score_choices("hi", ["a", "b"], adapter="refunds")


def test_an_adapter_that_was_not_given_is_refused_by_name(chat_model_with_adapter):
    with pytest.raises(UnsupportedOptionError, match="no adapter 'sales'; this model was given: refunds"):
        chat_model_with_adapter.invoke("hi", adapter="sales")


def test_what_is_no_adapter_is_refused_at_construction(chat_folder, tmp_path):
    with pytest.raises(ModelNotFoundError, match="no adapter folder"):
        LocalChatModel(model=str(chat_folder), adapters={"a": str(tmp_path / "none")})
    with pytest.raises(ModelFolderError, match="is no PEFT adapter"):
        LocalChatModel(model=str(chat_folder), adapters={"a": str(tmp_path)})
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "adapter_model.bin").write_bytes(b"never opened")
    with pytest.raises(UnsafeModelError, match=r"only as adapter_model\.bin"):
        LocalChatModel(model=str(chat_folder), adapters={"a": str(tmp_path)})


def test_an_adapter_for_another_model_is_refused_alone(engine, tmp_path):
    folder = save_adapter("lora", tmp_path / "gpt", base=_wider_decoder(), seed=1)
    with pytest.raises(ModelFolderError, match="does not fit the model"):
        greedy_ids(engine, prompts(5), adapter=Adapter.at(folder))
    assert greedy_ids(engine, prompts(5)) == [expected_ids(engine.model, prompts(5)[0])]


def _wider_decoder():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=259, hidden_size=96, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4
    )
    return LlamaForCausalLM(config)
