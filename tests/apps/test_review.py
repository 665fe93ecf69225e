"""From thumbs, corrections and people's answers to reviewed entries, in one terminal session."""

import shutil

import pytest
from typer.testing import CliRunner

from apps.cli import app
from apps.feedback import FeedbackStore
from apps.review import find_items, review_items
from apps.review_entries import ReviewedAnswer, ReviewedIntent, ReviewedWording, Reviews, ReviewSource
from apps.settings import load_settings
from apps.wiring import open_conversations
from chains.customer_service import ServiceReply, Turn
from chains.customer_service.messages import ConversationKey, now
from tests.apps.workspaces import build_workspace

KEY = ConversationKey(owner="anna", conversation="c1")


def _turn(id_, speaker, text):
    reply = ServiceReply(text=text, route="template", intent="track", reason="") if speaker == "assistant" else None
    return Turn(id=id_, speaker=speaker, text=text, time=now(), reply=reply)


TURNS = [
    _turn("m1", "customer", "my card is gone"),
    _turn("m1/reply", "assistant", "Order?"),
    _turn("m2", "customer", "do you sell bread"),
    _turn("s1", "staff", "No, we do not."),
    _turn("m3", "customer", "where is it"),
    _turn("m3/reply", "assistant", "On its way."),
]


def _source(turn_id):
    (turn,) = [turn for turn in TURNS if turn.id == turn_id]
    return ReviewSource(owner="anna", conversation="c1", turn=turn_id, time=turn.time)


@pytest.fixture
def feedback(tmp_path):
    """A store with a thumb down with a correction, and a thumb up."""
    store = FeedbackStore(tmp_path / "feedback.sqlite")
    thumbs = {"m1/reply": ("down", "Block the card."), "m3/reply": ("up", None)}
    for turn, (thumb, correction) in thumbs.items():
        store.put(owner="anna", conversation="c1", turn=turn, rated_by="anna", thumb=thumb, correction=correction)
    return store.read()


def test_bad_answers_and_those_of_people_are_found_and_good_ones_are_not(feedback):
    items = list(find_items([KEY], feedback, lambda _: TURNS))
    assert [(item.question, item.why, item.better) for item in items] == [
        ("my card is gone", "correction", "Block the card."),
        ("do you sell bread", "answered by a person", "No, we do not."),
    ]
    assert (items[0].route, items[0].intent) == ("template", "track")


def test_feedback_of_another_conversation_is_none_of_this_one(feedback):
    other = ConversationKey(owner="bo", conversation="c1")
    assert [item.why for item in find_items([other], feedback, lambda _: TURNS)] == ["answered by a person"]


def test_each_verdict_is_an_entry_and_a_question_is_asked_once(tmp_path, feedback):
    reviews = Reviews(tmp_path)
    items = list(find_items([KEY], feedback, lambda _: TURNS))
    verdicts = iter([("intent", "card"), ("answer", "No bread.")])
    assert review_items(items, reviews, lambda _: next(verdicts)) == 2
    first, second = (_source(turn) for turn in ("m1/reply", "s1"))
    assert reviews.entries() == [
        ReviewedIntent(text="my card is gone", source=first, intent="card"),
        ReviewedAnswer(text="do you sell bread", source=second, answer="No bread."),
    ]
    assert review_items(items, reviews, lambda _: pytest.fail("asked again")) == 0


def test_skipping_keeps_a_question_for_later_and_stopping_ends(tmp_path, feedback):
    reviews = Reviews(tmp_path)
    items = list(find_items([KEY], feedback, lambda _: TURNS))
    assert review_items(items, reviews, lambda _: ("skip", "")) == 0
    verdicts = iter([("stop", "")])
    assert review_items(items, reviews, lambda _: next(verdicts)) == 0
    assert review_items(items[:1], reviews, lambda _: ("wording", "gift")) == 1
    assert reviews.entries() == [
        ReviewedWording(text="my card is gone", source=_source("m1/reply"), question_id="gift")
    ]


@pytest.mark.parametrize("intent", ["track", "anything else"])
def test_a_session_in_the_terminal_puts_entries_into_the_workspace(tmp_path, tmp_path_factory, encoder_folder, intent):
    folder = shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "copy")
    settings = load_settings(folder)
    with open_conversations(settings) as conversations:
        conversations.send(owner="anna", conversation="c1", message_id="m1", text="where is my parcel")
        (turn,) = [turn for turn in conversations.turns("anna", "c1") if turn.speaker == "assistant"]
    FeedbackStore(settings.feedback_file).put(
        owner="anna", conversation="c1", turn=turn.id, rated_by="anna", thumb="down"
    )
    runner = CliRunner()
    listed = runner.invoke(app, ["service", "review", "-w", str(folder), "--json"])
    assert '"question": "where is my parcel"' in listed.output.replace('":"', '": "')
    # beside the intents that have an answer, the one of messages about none of them
    env = {"TUNECHAIN_CUSTOMER_SERVICE__OUTSIDE_INTENT": "anything else"}
    typed = f"x\ni\nnowhere\ni\n{intent}\n"
    done = runner.invoke(app, ["service", "review", "-w", str(folder)], input=typed, env=env)
    assert "1 new entries" in done.output
    reviews = Reviews(settings.records_folder(settings.customer_service))
    source = ReviewSource(owner="anna", conversation="c1", turn=turn.id, time=turn.time)
    assert reviews.entries() == [ReviewedIntent(text="where is my parcel", source=source, intent=intent)]


def test_entries_that_are_taken_out_leave_those_in_use_in_use(tmp_path):
    reviews = Reviews(tmp_path)
    for number in range(4):
        reviews.add(ReviewedIntent(text=f"text {number}", intent="card"))
        if number in (1, 2):
            reviews.use_all()
    removed = reviews.remove(lambda entry: entry.text in ("text 0", "text 3"))
    assert [entry.text for entry in removed] == ["text 0", "text 3"]
    assert [entry.text for entry in reviews.in_use()] == ["text 1", "text 2"]
    reviews.go_back()
    assert [entry.text for entry in reviews.in_use()] == ["text 1"]
    assert reviews.remove(lambda entry: False) == []


def test_a_removal_changes_one_file_so_that_a_kill_leaves_what_was_in_use_in_use(tmp_path):
    reviews = Reviews(tmp_path)
    for number in range(3):
        reviews.add(ReviewedIntent(text=f"text {number}", intent="card"))
    reviews.use_all()
    reviews.add(ReviewedIntent(text="not yet in use", intent="card"))
    others = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != "reviewed.jsonl"}

    reviews.remove(lambda entry: entry.text == "text 0")

    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != "reviewed.jsonl"} == others
    assert [entry.text for entry in reviews.in_use()] == ["text 1", "text 2"]
    reviews.remove(lambda entry: entry.text == "text 1")
    assert [entry.text for entry in reviews.in_use()] == ["text 2"]


def test_entries_of_an_earlier_version_have_no_source(tmp_path):
    (tmp_path / "reviewed.jsonl").write_text('{"text": "my card", "kind": "intent", "intent": "card"}\n')
    assert Reviews(tmp_path).entries() == [ReviewedIntent(text="my card", intent="card")]


def test_a_correction_is_shown_without_control_characters_and_taken_with_enter(
    tmp_path, tmp_path_factory, encoder_folder
):
    folder = shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "copy")
    settings = load_settings(folder)
    with open_conversations(settings) as conversations:
        conversations.send(owner="anna", conversation="c1", message_id="m1", text="where is my \x1b]0;x\x07parcel")
        (turn,) = [turn for turn in conversations.turns("anna", "c1") if turn.speaker == "assistant"]
    correction = "Look at \x1b[31mthe \x9b31m\u202epage."
    FeedbackStore(settings.feedback_file).put(
        owner="anna", conversation="c1", turn=turn.id, rated_by="anna", thumb="down", correction=correction
    )
    shown = CliRunner().invoke(app, ["service", "review", "-w", str(folder)], input="a\n\n")
    assert "1 new entries" in shown.output
    assert "better: Look at [31mthe 31mpage." in shown.output
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown.output)
    (entry,) = Reviews(settings.records_folder(settings.customer_service)).entries()
    assert entry.answer == correction
