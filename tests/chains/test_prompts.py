"""Prompt files: the shipped ones fit their chains, others are refused."""

import sys

import pytest

from chains.errors import ChainInputError
from chains.prompts import load_prompt


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function prompt text -> name of a package that holds it as prompts/answer.md."""

    def write(text):
        folder = tmp_path / "prompted_use_case"
        (folder / "prompts").mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "prompts" / "answer.md").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, folder.name, raising=False)
        return folder.name

    yield write
    sys.modules.pop("prompted_use_case", None)


def test_the_shipped_prompt_takes_passages_and_a_question():
    prompt = load_prompt("chains.customer_service", "answer", variables=["passages"])
    messages = prompt.format_messages(passages="[1] {x}", question="{y}?")
    assert [message.type for message in messages] == ["system", "human"]
    assert messages[0].text.endswith("[1] {x}\n")
    assert messages[1].text == "{y}?"


def test_a_prompt_becomes_the_system_turn(package):
    prompt = load_prompt(package("Use {passages}; 用中文。"), "answer", variables=["passages"])
    assert prompt.format_messages(passages="p", question="q")[0].text == "Use p; 用中文。"


@pytest.mark.parametrize("text", ["Nothing.", "{passages} {history}", "{pasages}", "{passages} {{literal}} {x}"])
def test_a_prompt_with_other_variables_than_the_chain_fills_is_refused(package, text):
    with pytest.raises(ChainInputError, match=r"has the variables .*, the chain fills \['passages', 'question'\]"):
        load_prompt(package(text), "answer", variables=["passages"])


@pytest.mark.parametrize("text", ["{", "{passages", "{passages} {}", "{passages.a}", "{passages[0]}"])
def test_a_prompt_with_stray_braces_is_refused(package, text):
    with pytest.raises(ChainInputError, match=r"brace|has the variables"):
        load_prompt(package(text), "answer", variables=["passages"])
