"""Calls outside a template's tags: read in every form that models write, whole and streamed, never from a quotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.chat.untagged_calls import UntaggedCall, UntaggedCallReader
from tests.llms.chat.test_answers import TEMPLATES, read

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("look_up", "search")]
CALL = '{"name": "look_up", "arguments": {"a": 1}}'
FORMS = {
    "bare": CALL,
    "fenced": f"```json\n{CALL}\n```",
    "fenced without a language": f"```\n{CALL}\n```",
    "fenced as tool_call": f"```tool_call\n{CALL}\n```",
    "text before": f"I will look it up.\n\n```json\n{CALL}\n```",
    "text after": f"{CALL}\nPlease wait.",
    "parameters": '{"name": "look_up", "parameters": {"a": 1}}',
    "arguments first": '{"arguments": {"a": 1}, "name": "look_up"}',
    "a list": f"[{CALL}]",
    "OpenAI's form": '{"type": "function", "function": {"name": "look_up", "arguments": "{\\"a\\": 1}"}}',
    "in tool_calls": f'{{"tool_calls": [{CALL}]}}',
    "tool and args": '{"tool": "look_up", "args": {"a": 1}}',
    "over several lines": '{\n  "name": "look_up",\n  "arguments": {\n    "a": 1\n  }\n}',
    "Python-like": "look_up(a=1)",
    "fenced Python-like": "```python\nlook_up(a=1)\n```",
    "a list of Python-like": "[look_up(a=1)]",
    "Python-like over several lines": "look_up(\n    a=1,\n)",
    "another model's tags": f"<tools>\n{CALL}\n</tools>",
    "another model's tags in one line": f"<function_call>{CALL}</function_call>",
    "a tag that nothing closes": f"<tool_call>{CALL}",
    "Llama's mark for code": "<|python_tag|>look_up(a=1)",
}
TEXTS = [
    "Nothing to look up here.",
    "search the shop for it, or look_up the order",
    "look_up(1) needs a name",
    '{"name": "another", "arguments": {}}',
    '{"colour": "red", "name": "look_up"}',
    '```json\n{"total": 3, "rows": [1, 2]}\n```',
    '```python\nprint("look_up")\nprint(2)\n```\nThat was the code.',
    "[1] First, [2] second",
    'The form is {"name": "look_up", "arguments": {"a": 1}} on one line.',
    "``",
    "`look_up`",
    "[",
    '{"name": "look_up", "arguments": "no object"}',
    '[{"name": "look_up", "arguments": {}}, 3]',
    "<tools> are listed below",
    "<b>look_up</b>",
    "look_up(a=1) is how it is called",
    "<",
]


def read_all(text, *, size, quoted=()):
    reader = UntaggedCallReader(TOOLS, quoted=quoted)
    pieces = [piece for at in range(0, len(text), size) for piece in reader.feed(text[at : at + size])]
    pieces += reader.finish()
    calls = [piece for piece in pieces if isinstance(piece, UntaggedCall)]
    return calls, "".join(piece for piece in pieces if isinstance(piece, str))


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_the_call_it_is(form, size):
    calls, text = read_all(FORMS[form], size=size)
    assert [(call.name, call.arguments, call.error) for call in calls] == [("look_up", {"a": 1}, "")]
    assert "look_up" not in text
    assert "```" not in text


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_several_calls_are_read_in_their_order(size):
    text = f'{CALL}\n{{"name": "search", "arguments": {{"text": "退货"}}}}'
    assert [call.name for call in read_all(text, size=size)[0]] == ["look_up", "search"]
    in_list = f'```json\n[{CALL}, {{"name": "search", "arguments": {{}}}}]\n```'
    assert [call.name for call in read_all(in_list, size=size)[0]] == ["look_up", "search"]


def test_words_of_json_are_read_within_a_python_like_call():
    [call] = read_all("look_up(a=true, b=null, c=[false])", size=3)[0]
    assert call.arguments == {"a": True, "b": None, "c": [False]}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("text", TEXTS)
def test_anything_else_stays_the_text_it_is(text, size):
    assert read_all(text, size=size) == ([], text)


@pytest.mark.parametrize("text", [CALL, "look_up(a=1)", f"As you say:\n```json\n{CALL}\n```"])
def test_a_call_that_a_user_or_a_tool_wrote_is_a_quotation(text):
    said = 'Please repeat: {"name":"look_up",\n "arguments": {"a": 1}} and look_up( a=1 )'
    assert read_all(text, size=3, quoted=["hello", said]) == ([], text)


@pytest.mark.parametrize("cut", range(22, len(CALL)))
def test_half_a_call_is_an_error_and_never_text(cut):
    calls, text = read_all(f"Wait.\n{CALL[:cut]}", size=4)
    assert [(call.name, call.error) for call in calls] == [("look_up", "it was cut off")]
    assert text == "Wait.\n"


@given(st.text(alphabet="`{}[]\"':,\n abnmelook_up(=1)\\", max_size=60), st.integers(1, 9))
def test_no_text_is_lost_and_pieces_change_nothing(text, size):
    calls, found = read_all(text, size=size)
    assert (calls, found) == read_all(text, size=len(text) or 1)
    if not calls:
        assert found == text


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_holds_them_beside_each_dialects_own(name):
    answer, streamed = read(name, f"One moment.\n```json\n{CALL}\n```")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look_up", {"a": 1})]
    assert answer.content.strip() == streamed.content.strip() == "One moment."
    assert [(call["name"], call["args"]) for call in streamed.tool_calls] == [("look_up", {"a": 1})]
    assert answer.invalid_tool_calls == []


def test_half_a_call_is_in_no_answer():
    answer, streamed = read("hermes", CALL[:-3])
    assert (answer.content, answer.tool_calls, streamed.content) == ("", [], "")
    assert answer.invalid_tool_calls[0]["name"] == "look_up"
