"""Fine-tuning chat models: only the assistant is learnt, in the form of use, and nothing is cut or lost silently."""

import dataclasses
import json

import pytest

from llms import LocalChatModel
from llms.errors import (
    DataFileError,
    ModelFolderError,
    OptionValueError,
    TrainingDataError,
    TrainingDivergedError,
    UnsupportedOptionError,
)
from llms.finetuning.chat import finetune as training
from llms.finetuning.chat.data import IGNORED, build_examples
from llms.finetuning.chat.finetune import finetune_chat
from llms.finetuning.chat.options import ChatTrainingOptions
from llms.finetuning.chat.packing import check_packing, collator, pack_examples, rows_of
from llms.finetuning.chat.training import _held_out_indices, _Network
from llms.finetuning.data.conversations import Conversation, Conversations, read_conversations
from llms.manifest import load_chat_manifest, load_manifest, save_manifest, template_fingerprint
from tests import trained_chat
from tests.tiny_models import build_chat_model, build_tool_chat_tokenizer, build_trained_chat_base
from tests.trained_chat import call, heard, result, say, system, user

TALK = [system("Be brief."), user("Where is it?"), call("look", place="屋"), result("here"), say("It is here.")]
ROWS = Conversations(
    [Conversation(TALK), Conversation([user("hi"), say("hello"), user("bye"), say("goodbye")])]
    + [Conversation([user(text), say(text.upper())]) for text in ("a", "b", "c", "d")]
)


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _load(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tool_chat_tokenizer(["It is here."], vocabulary_size=300)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_trained_chat_base(tmp_path_factory.mktemp("models") / "base", ["It is here."], hidden_size=32)


@pytest.fixture(scope="module")
def options(base):
    return trained_chat.training_options(base, epochs=2, batch_size=1)


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory):
    return finetune_chat(ROWS, tmp_path_factory.mktemp("trained") / "chat", options)


def test_the_model_of_the_test_suite_gives_every_answer_it_was_taught(trained_chat_folder):
    import torch

    rows = trained_chat.conversations()
    assert trained_chat.num_wrong_tokens(trained_chat_folder, rows) == 0
    model, tokenizer = _load(trained_chat_folder)
    wrong = []
    for row in rows.rows[::8]:  # what is right token by token is so for all when generated, which takes much longer
        for example in build_examples(tokenizer, row):
            for start, end in _spans(example.labels):
                prompt = torch.tensor([example.input_ids[:start]])
                answer = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=200)
                if answer[0, start:].tolist() != example.labels[start:end]:
                    wrong.append(tokenizer.decode(answer[0, start:]))
    assert wrong == []


def _spans(labels):
    learnt = [label != IGNORED for label in (IGNORED, *labels, IGNORED)]
    learnt[0] = learnt[-1] = False
    changes = [i for i in range(len(labels) + 1) if learnt[i] != learnt[i + 1]]
    return list(zip(changes[::2], changes[1::2], strict=True))


def test_only_what_the_assistant_says_and_its_end_token_is_learnt(tokenizer):
    (example,) = build_examples(tokenizer, Conversation(TALK))
    learnt = [tokenizer.decode(example.labels[start:end]) for start, end in _spans(example.labels)]
    assert learnt == [
        '<tool_call>\n{"name": "look", "arguments": {"place": "屋"}}\n</tool_call><|im_end|>',
        "It is here.<|im_end|>",
    ]
    assert example.end_ids == {tokenizer.eos_token_id}


def test_a_turn_of_weight_0_is_read_only(tokenizer):
    (example,) = build_examples(tokenizer, Conversation([user("a"), heard(say("b")), user("c"), say("d")]))
    assert [tokenizer.decode(example.labels[start:end]) for start, end in _spans(example.labels)] == ["d<|im_end|>"]
    assert "b<|im_end|>" in tokenizer.decode(example.input_ids)


def test_control_tokens_in_texts_are_plain_text(tokenizer):
    (example,) = build_examples(tokenizer, Conversation([user("<|im_end|>"), say("a <tool_call> b")]))
    assert example.input_ids.count(tokenizer.eos_token_id) == 2  # one for each turn
    assert tokenizer.convert_tokens_to_ids("<tool_call>") not in example.input_ids


def test_a_template_that_drops_old_reasoning_gives_one_example_per_turn(tokenizer):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think></think>"
        "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
        "<think></think>{% endif %}"
    )
    talk = Conversation([user("a"), say("b"), user("c"), say("d")])
    examples = build_examples(_with_template(tokenizer, template), talk)
    learnt = [[tokenizer.decode(row.labels[a:b]) for a, b in _spans(row.labels)] for row in examples]
    assert learnt == [["b<|im_end|>"], ["d<|im_end|>"]]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
            r"message 2 \(user > assistant\).*in another way",
        ),
        (
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
            "message 2.*no special token at the end",
        ),
        ("{{ raise_exception('no tools here') }}", "no tools here"),
    ],
)
def test_a_template_that_cannot_be_learnt_is_refused(tokenizer, template, reason):
    with pytest.raises(TrainingDataError, match=rf"line 7, .*{reason}"):
        build_examples(_with_template(tokenizer, template), Conversation([user("a"), say("b")], line=7))


def _with_template(tokenizer, template):
    import copy

    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def test_the_folder_holds_what_was_trained_and_how(trained, options):
    manifest = load_chat_manifest(trained.folder)
    assert (manifest.base_model, manifest.method, manifest.seed) == (options.base, "full", 0)
    assert manifest.data_sha256 == ROWS.sha256
    assert manifest.template_sha256 == template_fingerprint(trained.folder)
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= set(
        manifest.files
    )
    assert (manifest.adapter, manifest.max_tokens) == (False, options.max_tokens)
    assert manifest.trained_parameters == manifest.total_parameters > 0
    assert trained.history[-1]["epoch"] == 2.0
    assert trained.metrics["train_loss"] == trained.history[-1]["loss"]
    model, tokenizer = _load(trained.folder)
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    with pytest.raises(ModelFolderError, match="classifier"):
        load_manifest(trained.folder)


def test_the_saved_tokenizer_gives_the_ids_of_the_training(trained, options):
    (_, before), (_, after) = _load(options.base), _load(trained.folder)
    assert build_examples(before, ROWS.rows[0]) == build_examples(after, ROWS.rows[0])


def test_the_fingerprint_changes_with_template_and_tokenizer(base, tmp_path):
    import shutil

    seen = {template_fingerprint(base)}
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json"):
        copy = shutil.copytree(base, tmp_path / name)
        (copy / name).write_text((copy / name).read_text("utf-8") + "\n", encoding="utf-8")
        seen.add(template_fingerprint(copy))
    assert len(seen) == 4
    with pytest.raises(ModelFolderError, match="no tokenizer and no chat template"):
        template_fingerprint(tmp_path)


def test_the_same_seed_gives_the_same_weights_and_prints_nothing(trained, options, tmp_path, capfd):
    again = finetune_chat(ROWS, tmp_path / "again", options)
    assert capfd.readouterr() == ("", "")
    assert (again.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()
    other = finetune_chat(ROWS, tmp_path / "other", dataclasses.replace(options, seed=1))
    assert (other.folder / "model.safetensors").read_bytes() != (trained.folder / "model.safetensors").read_bytes()


def test_lora_saves_an_adapter_that_peft_loads(base, options, tmp_path):
    import torch
    from peft import PeftModel

    lora = dataclasses.replace(options, method="lora", keep_adapter=True, rank=2, learning_rate=None, epochs=1)
    folder = finetune_chat(ROWS, tmp_path / "lora", lora).folder
    assert not {"model.safetensors", "README.md"} & {path.name for path in folder.iterdir()}
    assert load_chat_manifest(folder).adapter
    assert "peft" in load_chat_manifest(folder).versions
    assert load_chat_manifest(folder).template_sha256 == template_fingerprint(folder)
    model, tokenizer = _load(base)
    ids = torch.tensor([build_examples(tokenizer, ROWS.rows[0])[0].input_ids])
    with torch.inference_mode():
        before = model(ids).logits
        after = PeftModel.from_pretrained(model, folder)(ids).logits
    assert not torch.equal(before, after)


def test_bfloat16_weights_stay_bfloat16(base, options, tmp_path):
    import torch

    model, tokenizer = _load(base)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    changed = dataclasses.replace(options, base=str(tmp_path / "base"), epochs=1)
    assert _load(finetune_chat(ROWS, tmp_path / "trained", changed).folder)[0].dtype == torch.bfloat16


def test_an_error_while_writing_leaves_the_old_model(trained, options, monkeypatch):
    before = _files(trained.folder)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_manifest", fail)
    with pytest.raises(OSError, match="No space left"):
        finetune_chat(ROWS, trained.folder, dataclasses.replace(options, epochs=1, seed=5))
    assert _files(trained.folder) == before
    names = {path.name for path in trained.folder.parent.iterdir()}
    assert names <= {trained.folder.name, ".chat-checkpoints"}  # nothing half-written is left


def test_a_folder_that_holds_something_else_is_never_replaced(options, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        finetune_chat(ROWS, tmp_path, options)


def test_a_conversation_that_is_too_long_is_refused_not_cut(options, tmp_path):
    long = Conversation([user("a " * 300), say("b")], line=12)
    with pytest.raises(TrainingDataError, match=r"1 of 2 conversations .* 200 tokens: line 12 \(6\d\d tokens\)"):
        finetune_chat(
            Conversations([ROWS.rows[1], long]), tmp_path / "never", dataclasses.replace(options, max_tokens=200)
        )
    assert not (tmp_path / "never").exists()


def test_no_conversation_and_no_template_are_refused(options, base, tmp_path):
    import shutil

    with pytest.raises(TrainingDataError, match="no conversation to learn from"):
        finetune_chat(Conversations([]), tmp_path / "never", options)
    bare = shutil.copytree(base, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ModelFolderError, match="no chat template"):
        finetune_chat(ROWS, tmp_path / "never", dataclasses.replace(options, base=str(bare)))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "at least one message"),
        ("hi", "at least one message"),
        ([user("a")], "the last message must be the assistant's"),
        ([{"role": "bot", "content": "a"}], "message 1: role must be one of"),
        (["a"], "message 1: expected a mapping"),
        ([say("a") | {"mood": 1}], "unknown key 'mood'"),
        ([say("")], "neither content nor tool calls"),
        ([user(None), say("a")], "content must be a text"),
        ([user("a") | {"tool_calls": [{}]}, say("a")], "only the assistant calls tools"),
        ([say("a") | {"tool_calls": "x"}], "tool_calls must be a list"),
        ([say("a") | {"tool_calls": [{"name": "f"}]}], "a tool call needs"),
        ([say("a") | {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}], "must be a mapping"),
        ([user("a") | {"weight": 0}, say("b")], "weight must be 0 or 1"),
        ([heard(say("a"))], "nothing is learnt from it"),
        ([say("a\x00b")], "NUL"),
        ([say("a"), call("f", text="\ud800")], "lone surrogate"),
    ],
)
def test_a_conversation_of_another_form_is_refused(messages, reason):
    with pytest.raises(TrainingDataError, match=reason):
        Conversation(messages)


@pytest.mark.parametrize("tools", ["x", [{"name": "f"}], [1]])
def test_tools_of_another_form_are_refused(tools):
    with pytest.raises(TrainingDataError, match="tool"):
        Conversation([say("a")], tools)


def test_bad_rows_are_set_aside_with_their_line(tmp_path):
    openai_call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    broken_call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": '{"a": '}}
    rows = [
        {"messages": [user("a"), say("b")], "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [user("a")]},
        {"messages": [user("a"), {"role": "assistant", "content": None, "tool_calls": [openai_call]}]},
        {"messages": [user("a"), {"role": "assistant", "content": None, "tool_calls": [broken_call]}]},
        {"messages": [user("a"), say("b")], "source": "kept apart"},
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    read = read_conversations(path)
    assert [row.line for row in read.rows] == [1, 3, 5]
    assert [row.line for row in read.rejected] == [2, 4]
    assert "the last message" in read.rejected[0].reason
    assert "not valid JSON" in read.rejected[1].reason
    assert read.rows[1].messages[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert read.sha256 == read_conversations(path).sha256


def test_conversations_are_not_read_from_csv(tmp_path):
    with pytest.raises(DataFileError, match="CSV"):
        read_conversations(tmp_path / "talks.csv")


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"batch_size": 0}, {"max_tokens": 1}, {"rank": 0}, {"learning_rate": 0.0}, {"base": ""}]
)
def test_impossible_training_options_are_refused(changes):
    with pytest.raises(OptionValueError, match=next(iter(changes))):
        ChatTrainingOptions(**({"base": "org/name"} | changes))


@pytest.mark.parametrize("changes", [{"method": "half"}, {"precision": "float8"}])
def test_unknown_choices_are_refused(changes):
    with pytest.raises(OptionValueError):
        ChatTrainingOptions(base="org/name", **changes)


def test_a_single_step_trains_already(trained, options, base, tmp_path):
    once = finetune_chat(ROWS, tmp_path / "once", dataclasses.replace(options, epochs=1, batch_size=2))
    assert (once.folder / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("method", "reason"), [("head", "cannot learn what to say"), ("adapter", "engines")])
def test_a_method_that_does_not_suit_chats_is_refused_with_the_reason(method, reason):
    with pytest.raises(UnsupportedOptionError, match=reason):
        ChatTrainingOptions(base="org/name", method=method)


def test_each_method_has_its_learning_rate():
    rates = {m: ChatTrainingOptions(base="org/name", method=m).peak_learning_rate for m in ChatTrainingOptions.methods}
    assert rates["full"] == 2e-5
    assert all(rate > rates["full"] for method, rate in rates.items() if method != "full")
    assert ChatTrainingOptions(base="org/name", learning_rate=0.1).peak_learning_rate == 0.1


def _talks(num):
    return Conversations([Conversation([user(f"{n}?"), say("yes " * (1 + n % 7))]) for n in range(num)])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return build_chat_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(params=["qwen", "llama"])
def decoder(request, base, llama):
    return {"qwen": base, "llama": llama}[request.param]


def test_conversations_in_one_row_are_learnt_as_if_each_stood_alone(decoder):
    import torch

    model, tokenizer = _load(decoder)
    examples = [example for row in ROWS.rows for example in build_examples(tokenizer, row)]
    check_packing(model, examples)
    collate = collator(0)
    packed = collate(pack_examples(examples, max_tokens=220))
    alone = [collate([row]) for row in rows_of(examples)]
    assert len(packed["input_ids"]) < len(alone)
    network = _Network(model.eval(), num_passes=1)
    num_learnt = sum(int((batch["labels"] != IGNORED).sum()) for batch in alone)
    with torch.inference_mode():
        together = float(network(**packed)["loss"])
        separately = sum(float(network(**batch, num_items_in_batch=num_learnt)["loss"]) for batch in alone)
    assert together == pytest.approx(separately, rel=1e-5)


def test_packed_training_gives_the_loss_of_unpacked_training(options, tmp_path):
    losses = []
    for packing in (False, True):
        # one step over everything, before which all weights are the same
        changed = dataclasses.replace(options, epochs=1, batch_size=8, packing=packing)
        losses.append(finetune_chat(ROWS, tmp_path / str(packing), changed).metrics["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_model_that_mixes_packed_conversations_is_refused(base):
    model, tokenizer = _load(base)
    examples = build_examples(tokenizer, ROWS.rows[0])
    plain_forward = model.forward
    model.forward = lambda position_ids=None, **inputs: plain_forward(**inputs)
    with pytest.raises(UnsupportedOptionError, match=r"does not keep packed .* packing=False"):
        check_packing(model, examples)
    with pytest.raises(UnsupportedOptionError, match="prefix"):
        ChatTrainingOptions(base="org/name", method="prefix", packing=True)


def test_a_batch_cut_into_passes_gives_the_weights_of_one_pass(options, tmp_path):
    import torch

    weights = []
    for passes in (1, 3):  # rows of very different lengths, so that a mean of the passes' means would be another one
        changed = dataclasses.replace(options, epochs=1, batch_size=6, gradient_accumulation=passes)
        folder = finetune_chat(ROWS, tmp_path / str(passes), changed).folder
        weights.append(_load(folder)[0].get_input_embeddings().weight)
    torch.testing.assert_close(*weights, rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_what_can_be_merged_gives_a_complete_model(options, base, tmp_path, method):
    changed = dataclasses.replace(options, method=method, epochs=1, learning_rate=0.01)
    folder = finetune_chat(ROWS, tmp_path / method, changed).folder
    manifest = load_chat_manifest(folder)
    assert not manifest.adapter
    assert 0 < manifest.trained_parameters < manifest.total_parameters
    before, after = (_load(place)[0].state_dict() for place in (base, folder))
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)
    answer = LocalChatModel(model=str(folder), engine="torch", max_tokens=2).invoke("hi")
    assert answer.response_metadata["finish_reason"]


def test_what_cannot_be_merged_is_kept_as_an_adapter(options, base, tmp_path):
    folder = finetune_chat(ROWS, tmp_path / "p", dataclasses.replace(options, method="prefix", epochs=1)).folder
    assert load_chat_manifest(folder).adapter
    chat = LocalChatModel(model=str(base), adapters={"p": str(folder)}, max_tokens=2)
    assert chat.bind(adapter="p").invoke("hi").response_metadata["finish_reason"]


def test_held_out_conversations_stop_the_training_and_choose_the_weights(options, tmp_path, capfd):
    changed = dataclasses.replace(options, held_out_share=0.2, epochs=6, patience=1, learning_rate=0.05, method="lora")
    trained = finetune_chat(_talks(30), tmp_path / "stopped", changed)
    losses = [row["held_out_loss"] for row in trained.history]
    assert trained.metrics["num_held_out"] == 6.0
    assert trained.metrics["held_out_loss"] == min(losses)
    assert _loss_on_held_out(trained.folder, changed) == pytest.approx(min(losses), rel=0.05)
    assert capfd.readouterr().out == ""


def _loss_on_held_out(folder, options):
    import torch

    model, tokenizer = _load(folder)
    rows = _talks(30).rows
    examples = [build_examples(tokenizer, rows[place])[0] for place in sorted(_held_out_indices(30, options))]
    with torch.inference_mode():
        return float(_Network(model, num_passes=1).eval()(**collator(0)(rows_of(examples)))["loss"])


def test_of_few_conversations_none_is_held_out(options):
    assert _held_out_indices(19, options) == set()
    assert len(_held_out_indices(20, dataclasses.replace(options, held_out_share=0.1))) == 2
    assert _held_out_indices(500, options) == set()  # the share is less than one conversation


def test_a_training_that_was_cut_off_goes_on(options, tmp_path, monkeypatch):
    changed = dataclasses.replace(options, epochs=3, resume=True, track="tensorboard")
    whole = finetune_chat(ROWS, tmp_path / "whole" / "chat", changed).folder
    steps = []

    def fail_at_8(loss):
        steps.append(loss)
        if len(steps) == 8:
            raise KeyboardInterrupt
        return torch.ones((), dtype=torch.bool)

    import torch

    with monkeypatch.context() as patch:
        patch.setattr("llms.finetuning.trainer.trainer.torch.isfinite", fail_at_8)
        with pytest.raises(KeyboardInterrupt):
            finetune_chat(ROWS, tmp_path / "cut" / "chat", changed)
    resumed = finetune_chat(ROWS, tmp_path / "cut" / "chat", changed).folder
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert list((tmp_path / "cut" / "runs" / "chat").iterdir())
    assert not (tmp_path / "cut" / ".chat-checkpoints").exists()


def test_a_loss_that_is_no_number_ends_the_training(options, base, tmp_path):
    import torch

    model, tokenizer = _load(base)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(TrainingDivergedError, match="has diverged"):
        finetune_chat(ROWS, tmp_path / "never", dataclasses.replace(options, base=str(tmp_path / "broken")))
    assert not (tmp_path / "never").exists()


def test_a_folder_that_goes_on_in_another_way_than_when_it_was_saved_is_refused(trained_chat_folder, tmp_path):
    import shutil

    folder = shutil.copytree(trained_chat_folder, tmp_path / "chat", ignore=shutil.ignore_patterns("openvino"))
    manifest = load_chat_manifest(folder)
    assert len(manifest.reference_output.next_ids) > 2
    assert LocalChatModel(model=str(folder), engine="torch").invoke("Hello").text
    other = manifest.reference_output.model_copy(update={"next_ids": manifest.reference_output.next_ids[::-1]})
    save_manifest(manifest.model_copy(update={"reference_output": other}), folder)
    with pytest.raises(ModelFolderError, match="when it was saved"):
        LocalChatModel(model=str(folder), engine="torch").invoke("Hello")


def test_an_adapter_is_never_written_over_its_base(trained, options):
    changed = dataclasses.replace(options, base=str(trained.folder), method="lora", keep_adapter=True)
    with pytest.raises(ModelFolderError, match="the base itself"):
        finetune_chat(ROWS, trained.folder, changed)
