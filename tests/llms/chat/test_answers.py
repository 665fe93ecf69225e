"""Reasoning and tool calls are read in the form each family of models writes them, whole and streamed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from llms.chat.answers import AnswerReader
from llms.chat.tool_formats import dialect_of
from tests.tiny_models import build_chat_tokenizer

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
    for name in ("look_up", "search")
]
TEMPLATES = {
    "hermes": "{% for tool in tools %}{{ tool }}{% endfor %}<tool_call>",
    "llama3": "{% for tool in tools %}{{ tool }}{% endfor %}<|python_tag|>",
    "mistral": "{% for tool in tools %}{{ tool }}{% endfor %}[TOOL_CALLS]",
    "xml": "{% for tool in tools %}{{ tool }}{% endfor %}<tool_call><function=",
    "glm": "{% for tool in tools %}{{ tool }}{% endfor %}<tool_call><arg_key>",
    "harmony": "{% for tool in tools %}{{ tool }}{% endfor %}<|channel|>analysis<|message|>",
    "own": "{{ messages[0].content }}",
}
CALLS = {
    "hermes": '<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>',
    "own": '<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>',
    "llama3": '{"name": "look_up", "parameters": {"a": 1}}',
    "mistral": '[TOOL_CALLS][{"name": "look_up", "arguments": {"a": 1}}]',
    "xml": "<tool_call>\n<function=look_up>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    "glm": "<tool_call>look_up\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
    "harmony": '<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>{"a": 1}<|call|>',
}


def dialect(name):
    tokenizer = build_chat_tokenizer()
    tokenizer.chat_template = TEMPLATES[name]
    return dialect_of(tokenizer)


def add_parts(parts):
    """Return the message that the streamed parts of an answer add up to."""
    chunks = [
        AIMessageChunk(
            content=part.content,
            additional_kwargs={"reasoning_content": part.reasoning} if part.reasoning else {},
            tool_call_chunks=part.call_chunks,
        )
        for part in parts
    ]
    return sum(chunks[1:], chunks[0])


def read(name, text, *, size=3, tools=TOOLS, prefix=""):
    """Return the answer, and the message that its streamed parts add up to."""
    reader = AnswerReader(dialect(name), tools=tools, prefix=prefix)
    parts = [reader.feed(text[place : place + size]) for place in range(0, len(text), size)]
    parts.append(reader.finish())
    return reader.answer, add_parts(parts)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_dialect_is_known_by_its_template(name):
    assert dialect(name).name == name
    assert dialect(name).reads_tools is (name != "own")


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_read_in_every_dialect_whole_and_streamed(name, size):
    answer, message = read(name, CALLS[name], size=size)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look_up", {"a": 1})]
    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [
        (call["name"], call["args"], call["id"]) for call in answer.tool_calls
    ]
    assert (answer.content, message.text) == ("", "")


@pytest.mark.parametrize("name", CALLS)
def test_without_tools_nothing_is_a_call(name):
    answer, message = read(name, CALLS[name], tools=())
    assert answer.tool_calls == message.tool_calls == []
    assert answer.content == message.text == CALLS[name]


def test_text_reasoning_and_several_calls_are_told_apart():
    other = CALLS["hermes"].replace("look_up", "search")
    text = f"<think>\nHm, {{a}}.\n</think>\n\nI will look.\n{CALLS['hermes']}\n{other}"
    answer, message = read("hermes", text)
    assert answer.content == message.text == "I will look."
    assert answer.reasoning.strip() == message.additional_kwargs["reasoning_content"].strip() == "Hm, {a}."
    assert [call["name"] for call in answer.tool_calls] == ["look_up", "search"]
    assert [call["name"] for call in message.tool_calls] == ["look_up", "search"]


def test_reasoning_that_the_prompt_opened_is_reasoning():
    answer, _ = read("hermes", "Hm.</think>\nYes.", prefix="<think>\n")
    assert (answer.reasoning, answer.content) == ("Hm.", "Yes.")


def test_what_the_prompt_wrote_itself_is_no_part_of_the_answer():
    for tools in (TOOLS, ()):
        answer, message = read("hermes", "Yes.", prefix="<|im_start|>assistant\n", tools=tools)
        assert answer.content == message.text == "Yes."


def test_a_call_that_the_prompt_opened_is_a_call():
    answer, message = read("hermes", '\n{"name": "look_up", "arguments": {}}\n', prefix="<tool_call>")
    assert [call["args"] for call in answer.tool_calls] == [call["args"] for call in message.tool_calls] == [{}]


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "look_up", "argu',
        "no JSON",
        '{"arguments": {}}',
        '{"name": "look_up", "arguments": [1]}',
        '{"name": "look_up", "a": 1}',
        "",
    ],
)
def test_a_call_that_cannot_be_read_is_an_invalid_call_and_no_error(body):
    answer, message = read("hermes", f"Well.\n<tool_call>{body}</tool_call>")
    assert answer.tool_calls == []
    assert len(answer.invalid_tool_calls) == 1
    assert "not a complete tool call" in answer.invalid_tool_calls[0]["error"]
    assert answer.content == message.text == "Well."


@pytest.mark.parametrize("name", ["hermes", "xml", "mistral", "llama3"])
def test_a_call_that_was_cut_off_is_invalid(name):
    answer, _ = read(name, CALLS[name][: CALLS[name].index("1") + 1])
    assert answer.tool_calls == []
    assert answer.invalid_tool_calls


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mistral", '[TOOL_CALLS]look_up[ARGS]{"a": 1}[TOOL_CALLS]search[ARGS]{"a": 2}'),
        ("mistral", '[TOOL_CALLS]look_up[CALL_ID]aB3dE6gH9[ARGS]{"a": 1}[TOOL_CALLS]search[CALL_ID]x1[ARGS]{"a": 2}'),
        ("llama3", '{"name": "look_up", "parameters": {"a": 1}}; {"name": "search", "parameters": {"a": 2}}'),
        ("llama3", "[\n  look_up(a=1),\n  search(a=2)\n]"),
        ("xml", "<function=look_up>\n<parameter=a>\n1\n</parameter>\n</function>\n<function=search>\n<parameter=a>2"
         "</parameter>\n</function>\n</tool_call>"),
        ("xml", "<tool_call>\n<function=look_up>\n<parameter=a>1</parameter>\n</function>\n<function=search>\n"
         "<parameter=a>2</parameter>\n</function>\n</tool_call>"),
        ("xml", '<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>\n'
         "<tool_call><function=search><parameter=a>2</parameter></function></tool_call>"),
        ("glm", "<tool_call>look_up<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"
         "<tool_call>search\n<arg_key>a</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"),
    ],
)  # fmt: skip
def test_two_calls_in_the_forms_of_later_models_are_two(name, text, size):
    answer, message = read(name, text, size=size)
    assert _both(answer, message) == [("look_up", {"a": 1}), ("search", {"a": 2})]
    assert answer.content == message.text == ""


@pytest.mark.parametrize("size", [1, 1000])
def test_the_end_of_the_answer_ends_a_call_of_gpt_oss(size):
    # the engine keeps the token <|call|> to itself, as it ends the answer
    call = CALLS["harmony"].removesuffix("<|call|>")
    assert _both(*read("harmony", call, size=size)) == [("look_up", {"a": 1})]
    answer, _ = read("harmony", call[:-2], size=size)
    assert (answer.tool_calls, len(answer.invalid_tool_calls)) == ([], 1)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("name", "call", "words"),
    [
        ("xml", "<tool_call>\n<function=look_up>\n<parameter=a>\n{}\n</parameter>\n</function>\n</tool_call>",
         ["the tag </parameter> ends it", "<b>a</b> </tool_call> b", "if a < b: </function> c", "退 </parameter> 货"]),
        ("glm", "<tool_call>look_up\n<arg_key>a</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>",
         ["say </tool_call> now", "the tag </arg_value> ends it", "<arg_key>", "退 </tool_call> 货"]),
    ],
)  # fmt: skip
def test_marks_inside_a_bare_value_are_words(name, call, words, size):
    for value in words:
        answer, message = read(name, call.replace("{}", value), size=size)
        assert _both(answer, message) == [("look_up", {"a": value})]
        assert answer.content == message.text == ""


def test_a_parameter_without_its_closing_tag_ends_where_the_next_begins():
    text = (
        "<tool_call>\n<function=look_up>\n<parameter=b>\nx\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>"
    )
    assert _both(*read("xml", text)) == [("look_up", {"b": "x", "a": 1})]


def test_arguments_that_cannot_be_read_make_no_call_without_any():
    answer, _ = read("xml", "<tool_call>\n<function=look_up>\n<parameter=a 1\n</function>\n</tool_call>")
    assert (answer.tool_calls, len(answer.invalid_tool_calls)) == ([], 1)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_break_within_a_string_is_streamed_as_strict_json(size):
    text = '<tool_call>\n{"name": "look_up", "arguments": {"a": "one\ntwo\tthree"}}\n</tool_call>'
    answer, message = read("hermes", text, size=size)
    assert _both(answer, message) == [("look_up", {"a": "one\ntwo\tthree"})]
    assert json.loads(message.tool_call_chunks[0]["args"]) == {"a": "one\ntwo\tthree"}


@pytest.mark.parametrize("size", [1, 1000])
def test_an_answer_may_speak_of_the_tag(size):
    text = "Write <tool_call> before a call, then its JSON."
    answer, message = read("hermes", text, size=size)
    assert (answer.content, message.text) == (text, text)
    assert (answer.tool_calls, answer.invalid_tool_calls) == ([], [])


def _both(answer, message):
    """Return name and arguments of the calls, which must be the same whole and streamed."""
    calls = [(call["name"], call["args"]) for call in answer.tool_calls]
    assert [(call["name"], call["args"]) for call in message.tool_calls] == calls
    assert answer.invalid_tool_calls == message.invalid_tool_calls == []
    return calls


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "words",
    ["what does </tool_call> mean?", "the text <tool_call> here", "</tool_call", "<think>", '"</tool_call>"', "a\n<b>"],
)
@pytest.mark.parametrize("name", ["hermes", "own"])
def test_marks_inside_an_argument_are_words(name, words, size):
    call = json.dumps({"name": "look_up", "arguments": {"a": words}})
    answer, message = read(name, f"Well.\n<tool_call>\n{call}\n</tool_call>\nDone.", size=size)
    assert _both(answer, message) == [("look_up", {"a": words})]
    assert answer.content == message.text
    assert answer.content.split() == ["Well.", "Done."]


@pytest.mark.parametrize("size", [1, 1000])
def test_marks_of_mistral_inside_an_argument_are_words(size):
    call = '[TOOL_CALLS][{"name": "look_up", "arguments": {"a": "the mark [TOOL_CALLS] and ] }"}}]'
    assert _both(*read("mistral", call, size=size)) == [("look_up", {"a": "the mark [TOOL_CALLS] and ] }"})]


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ('{"name": "look_up", "arguments": {"a": 1}}\n{"name": "search", "arguments": {"a": 2}}', [1, 2]),
        ('{"name": "look_up", "arguments": {"a": 1}}, {"name": "search", "arguments": {"a": 2}}', [1, 2]),
        ('{"name": "look_up", "arguments": {"a": 1}}}', [1]),
        ('{"name": "look_up", "arguments": "{\\"a\\": 1}"}', [1]),
        ('{"arguments": {"a": 1}, "name": "look_up"}', [1]),
        ('```json\n{"name": "look_up", "arguments": {"a": 1}}\n```', [1]),
        ('{"name": "look_up", "arguments": null}', [None]),
        ('{"name": "look_up"}', [None]),
    ],
)
def test_what_small_models_make_of_a_call_is_read_whole_and_streamed(body, calls, size):
    found = _both(*read("hermes", f"<tool_call>\n{body}\n</tool_call>", size=size))
    names = ["look_up", "search"]
    assert found == [(names[i], {} if value is None else {"a": value}) for i, value in enumerate(calls)]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("array", "['a', 'b']", ["a", "b"]),
        ("array", '["a", "b"]', ["a", "b"]),
        ("object", "{'x': True}", {"x": True}),
        ("boolean", "True", True),
        ("boolean", "false", False),
        ("number", "1.5", 1.5),
        ("integer", "yes", "yes"),
        ("array", "open('x')", "open('x')"),
        ("string", "007", "007"),
        ("string", "['a']", "['a']"),
    ],
)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("xml", "<tool_call>\n<function=tag>\n<parameter=a>\n{}\n</parameter>\n</function>\n</tool_call>"),
        ("glm", "<tool_call>tag\n<arg_key>a</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>"),
    ],
)
def test_bare_values_become_what_the_schema_asks_for(name, call, kind, text, value):
    tool = {"name": "tag", "parameters": {"type": "object", "properties": {"a": {"type": kind}}}}
    tools = [{"type": "function", "function": tool}]
    assert _both(*read(name, call.replace("{}", text), tools=tools)) == [("tag", {"a": value})]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            TEMPLATES["harmony"],
            "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.",
        ),
        ("{{ messages }}<|channel>thought", "<|channel>thought\nLet me see.<channel|>It is 4."),
    ],
)
def test_reasoning_in_channels_is_no_content(template, text, size, monkeypatch):
    monkeypatch.setitem(TEMPLATES, "channels", template)
    answer, message = read("channels", text, size=size)
    assert (answer.reasoning.strip(), answer.content) == ("Let me see.", "It is 4.")
    assert message.text == answer.content


def test_json_that_is_no_call_is_text():
    answer, _ = read("llama3", 'See {"x": 1}.')
    assert (answer.content, answer.tool_calls) == ('See {"x": 1}.', [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.integers(1, 9))
def test_any_arguments_survive_streaming(arguments, size):
    body = json.dumps({"name": "look_up", "arguments": arguments}, ensure_ascii=False)
    answer, message = read("hermes", f"<tool_call>\n{body}\n</tool_call>", size=size)
    assert [call["args"] for call in answer.tool_calls] == [arguments]
    assert [json.loads(chunk["args"]) for chunk in message.tool_call_chunks] == [arguments]
