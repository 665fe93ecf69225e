"""The workspace's text filter at OpenAI's address of the chat model, and from its settings."""

import pytest
from langchain_core.messages import AIMessage

from apps.applications import Applications
from apps.errors import NotBuiltError, WorkspaceError
from apps.settings import SETTINGS_NAME, load_settings
from apps.text_filters import open_text_filter
from chains.text_filter import TextFilter
from llms.fakes import ScriptedChatModel
from tests.apps.openai_streams import read_chunks

FILTER = TextFilter(private_kinds=["email"], incoming={"harm": ["hurt myself"]}, outgoing={"advice": ["buy shares"]})
CALL = {"name": "send", "args": {"to": "anna@example.com"}, "id": "c1", "type": "tool_call"}


def filtered(*answers):
    return Applications(chat=ScriptedChatModel(answers=answers), text_filter=FILTER)


def asked(text):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_that_is_left_to_people_is_refused_before_the_model_reads_it(post, stream):
    applications = filtered("Hello.")
    reply = post(applications, messages=asked("I will hurt myself"), stream=stream)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_filter")
    assert applications.chat.prompts == []


@pytest.mark.parametrize("answer", ["Well, buy shares.", "Ask anna@example.com.", AIMessage("", tool_calls=[CALL])])
def test_an_answer_that_is_held_back_is_empty_and_says_so(post, answer):
    (choice,) = post(filtered(answer)).json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert not choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


def test_what_the_conversation_holds_may_be_said_again(post):
    reply = post(filtered("I wrote to anna@example.com."), messages=asked("Write to anna@example.com"))
    assert reply.json()["choices"][0]["message"]["content"] == "I wrote to anna@example.com."


def test_a_stream_ends_at_the_first_sentence_that_is_held_back(post):
    chunks = read_chunks(post(filtered("It is late. Now buy shares. Good night."), stream=True))
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text.strip() == "It is late."
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_a_stream_without_anything_to_hold_back_is_whole(post):
    applications = filtered("It is late. Good night, all")
    chunks = read_chunks(post(applications, stream=True))
    assert (
        "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "It is late. Good night, all"
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def workspace(folder, settings, lists=None):
    (folder / SETTINGS_NAME).write_text(settings, encoding="utf-8")
    if lists is not None:
        (folder / "text_filter.yaml").write_text(lists, encoding="utf-8")
    return load_settings(folder)


def test_a_workspace_without_rules_has_no_filter(tmp_path):
    assert open_text_filter(workspace(tmp_path, "")) is None


def test_lists_and_kinds_come_from_the_settings(tmp_path):
    settings = workspace(
        tmp_path,
        '[text_filter]\nprivate_data = ["card"]\nlists = "text_filter.yaml"\n',
        "incoming:\n  insults: [笨蛋]\noutgoing:\n  advice: [buy shares]\n",
    )
    text_filter = open_text_filter(settings)
    assert str(text_filter.find_incoming("你这个笨蛋")) == "list: insults"
    assert str(text_filter.find_outgoing("4111 1111 1111 1111", known="")) == "private_data: card"


def test_a_filter_that_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(WorkspaceError, match="lists names"):
        open_text_filter(workspace(tmp_path, '[text_filter]\nlists = "text_filter.yaml"\n'))
    with pytest.raises(WorkspaceError, match="incoming"):
        open_text_filter(workspace(tmp_path, '[text_filter]\nlists = "text_filter.yaml"\n', "insults: [fool]\n"))
    with pytest.raises(NotBuiltError, match="no classifier"):
        open_text_filter(workspace(tmp_path, '[text_filter]\nclassifier = "models/cold"\nlabels = ["1"]\n'))
