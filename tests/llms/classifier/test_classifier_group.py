"""A group answers as its members do, and reads each text once."""

import dataclasses

import pytest

from llms import ClassifierGroup, LocalClassifier
from llms.errors import OptionValueError, UnknownOptionError
from llms.finetuning.classifier.finetune import finetune_classifier

TEXTS = ["refund please", "my card", "parcel late"]


@pytest.fixture(scope="module")
def members(labelled_texts, training_options, trained, sequence_classifier_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    options = dataclasses.replace(training_options, method="head", keep_adapter=True)
    heads = {
        f"head-{seed}": finetune_classifier(
            labelled_texts, folder / str(seed), dataclasses.replace(options, seed=seed)
        ).folder
        for seed in (0, 1)
    }
    paths = heads | {"own": trained.folder, "plain": sequence_classifier_folder}
    return {name: LocalClassifier(path, device="cpu") for name, path in paths.items()}


def test_each_member_answers_as_it_does_alone(members):
    together = ClassifierGroup(members).batch(TEXTS)
    for name, member in members.items():
        for answers, alone in zip(together, member.batch(TEXTS), strict=True):
            assert answers[name].label == alone.label
            assert answers[name].probability == pytest.approx(alone.probability, abs=5e-3)


def test_a_shared_encoder_reads_each_text_once(members, monkeypatch):
    heads = {name: member for name, member in members.items() if name.startswith("head")}
    encoder = heads["head-0"].head.encoder
    read = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts, **options: read.append(len(texts)) or encode(texts, **options))
    ClassifierGroup(heads).batch(TEXTS)
    assert read == [len(TEXTS)]


async def test_all_four_ways_to_ask_agree(members):
    group = ClassifierGroup(members)
    alone = group.invoke(TEXTS[0])
    assert {name: reply.label for name, reply in alone.items()} == {
        name: reply.label for name, reply in (await group.ainvoke(TEXTS[0])).items()
    }
    assert [set(answers) for answers in await group.abatch(TEXTS)] == [set(members)] * len(TEXTS)
    assert group.batch([]) == []


def test_a_refused_text_does_not_take_the_others_with_it(members):
    good, bad = ClassifierGroup(members).batch(["my card", "a\x00b"], return_exceptions=True)
    assert set(good) == set(members)
    assert isinstance(bad, ValueError)


def test_a_group_of_none_and_unknown_options_are_refused(members):
    with pytest.raises(OptionValueError):
        ClassifierGroup({})
    with pytest.raises(UnknownOptionError, match="top_k"):
        ClassifierGroup(members).invoke("card", top_k=3)
