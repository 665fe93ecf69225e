"""Review of groups: decisions that are kept, can be taken back, and reach the records only when a person says so."""

import csv

import pytest
import yaml

from apps.errors import ReviewError, UnknownGroupError, WorkspaceError
from apps.service_learning.decisions import Accept, Drop, EditTemplate, Merge, Rename, Split
from apps.service_learning.publishing import Publisher
from apps.service_learning.records import AcceptedGroup, plan_records
from apps.service_learning.review import GroupReview
from apps.service_learning.state import LearningState
from chains.customer_service import Slot
from tests.apps.service_learning.logs import conversations, learn

SLOTS = {"order_number": Slot(pattern="VT-[0-9]+", ask="Which order?")}
TEMPLATES = """\
# our answers
slots:
  order_number: {pattern: "VT-[0-9]+", ask: "Which order?"}
answers:
  hello: "Hi"  # short
"""


@pytest.fixture
def state(tmp_path):
    return learn(tmp_path)


@pytest.fixture
def review(state):
    return GroupReview(state, slots=["order_number"])


@pytest.fixture
def folder(tmp_path):
    """Records of customer service that somebody wrote."""
    path = tmp_path / "customer_service"
    (path / "knowledge").mkdir(parents=True)
    (path / "templates.yaml").write_text(TEMPLATES, encoding="utf-8")
    (path / "intents.csv").write_text("note,text,intent\nmine,good morning,hello\n", encoding="utf-8")
    (path / "intents_test.csv").write_text("text,intent\ngood day,hello\n", encoding="utf-8")
    return path


def ids(review, status="open"):
    return [group.id for group in review.list_groups(status)]


def decide(review, *decisions):
    return [review.decide(decision, person="berta") for decision in decisions]


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["intent"]) for row in csv.DictReader(file)]


# --- decisions


def test_decisions_change_a_group_and_are_taken_back_last_first(review):
    [one, two, _] = review.list_groups()
    decide(
        review,
        Rename(group=one.id, name="first"),
        EditTemplate(group=one.id, template="Hello."),
        Accept(group=one.id),
        Drop(group=two.id),
    )
    assert review.counts().model_dump() == {"open": 1, "accepted": 1, "dropped": 1, "published": 0}
    changed = review.read_group(one.id)
    assert (changed.draft.name, changed.draft.template, changed.use) == ("first", "Hello.", "intent")
    kinds = [review.undo(person="berta").kind for _ in range(4)]
    assert kinds == ["drop", "accept", "template", "rename"]
    assert review.undo(person="berta") is None
    assert review.read_group(one.id) == one


def test_decisions_are_there_after_a_restart(review, state, tmp_path):
    [name, *_] = ids(review)
    decide(review, Drop(group=name))
    state.close()
    assert ids(GroupReview(LearningState(tmp_path / "learning.sqlite")), "dropped") == [name]


def test_merged_groups_are_one_and_taken_apart_they_are_what_they_were(review):
    before = review.list_groups()
    [[merged]] = decide(review, Merge(groups=tuple(group.id for group in before)))
    assert merged.draft.num_requests == sum(group.draft.num_requests for group in before)
    assert merged.draft.name == before[0].draft.name
    assert ids(review) == [merged.id]
    [[first, rest]] = decide(review, Split(group=merged.id))
    [[second, third]] = decide(review, Split(group=rest.id))
    wordings = [sorted(group.draft.wordings) for group in (first, second, third)]
    assert wordings == [sorted(group.draft.wordings) for group in before]
    for _ in range(3):
        review.undo(person="berta")
    assert review.list_groups() == before


def test_a_group_is_split_until_nothing_is_left_to_split(review):
    group = review.list_groups()[0]
    for _ in range(20):
        if not group.can_split:
            break
        [[group, _]] = decide(review, Split(group=group.id))
    assert not group.can_split
    with pytest.raises(ReviewError, match="cannot be taken apart"):
        review.decide(Split(group=group.id), person="berta")


def test_a_group_that_is_decided_on_or_gone_takes_no_other_decision(review):
    one, two, three = ids(review)
    decide(review, Drop(group=one))
    decide(review, Merge(groups=(two, three)))
    for decision, error in (
        (Accept(group=one), ReviewError),
        (Drop(group=two), ReviewError),
        (Rename(group="nowhere", name="x"), UnknownGroupError),
        (Merge(groups=(one, one)), ReviewError),
    ):
        with pytest.raises(error):
            review.decide(decision, person="berta")
    with pytest.raises(UnknownGroupError):
        review.read_group(two)


@pytest.mark.parametrize("template", ["", "Dear {name}.", "A } brace"])
def test_an_answer_that_is_none_for_everybody_is_not_accepted(review, template):
    [name, *_] = ids(review)
    decide(review, EditTemplate(group=name, template=template))
    with pytest.raises(ReviewError):
        review.decide(Accept(group=name), person="berta")


def test_slots_have_no_place_in_articles_and_known_questions(review):
    [name, *_] = ids(review)
    decide(review, EditTemplate(group=name, template="Order {order_number} is here."))
    for use in ("article", "known_question"):
        with pytest.raises(ReviewError, match="slots"):
            review.decide(Accept(group=name, use=use), person="berta")
    decide(review, Accept(group=name))


# --- records


def test_what_is_accepted_comes_into_the_records_and_leaves_the_rest_as_it_was(state, review, folder):
    one, two, three = ids(review)
    decide(
        review,
        *(Rename(group=name, name=f"new {place}") for place, name in enumerate((one, two, three))),
        EditTemplate(group=one, template="See order {order_number}."),
        EditTemplate(group=two, template="It is free."),
        EditTemplate(group=three, template="It takes five days."),
        Accept(group=one),
        Accept(group=two, use="known_question"),
        Accept(group=three, use="article"),
    )
    before = (folder / "intents.csv").read_text("utf-8")
    publication = Publisher(state, folder).publish(review, person="berta")
    assert publication.files == (
        "intents.csv",
        "intents_test.csv",
        "knowledge/new-2.md",
        "known_questions.yaml",
        "templates.yaml",
    )
    assert (folder / "intents.csv").read_text("utf-8").startswith(before)
    train, test = (
        {text for text, intent in rows(folder / name) if intent == "new 0"} for name in publication.files[:2]
    )
    assert len(train) > len(test) > 0
    assert not train & test
    templates = (folder / "templates.yaml").read_text("utf-8")
    assert templates.startswith(TEMPLATES)
    assert yaml.safe_load(templates)["answers"]["new 0"] == "See order {order_number}."
    [known] = yaml.safe_load((folder / "known_questions.yaml").read_text("utf-8"))
    assert known["id"] == "new 1"
    assert len(known["wordings"]) > 1
    assert (folder / "knowledge" / "new-2.md").read_text("utf-8").startswith("# New 2\n\n")
    assert review.counts().published == 3
    with pytest.raises(ReviewError, match="nothing is accepted"):
        Publisher(state, folder).publish(review, person="berta")


def test_nothing_is_written_before_a_person_says_so(review, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    decide(review, *(Accept(group=name) for name in ids(review)))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_writing_is_taken_back_unless_somebody_changed_a_file(state, review, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    one, two = (group.id for group in review.list_groups() if "{" not in group.draft.template)
    decide(review, Accept(group=one), Accept(group=two, use="article"))
    publisher = Publisher(state, folder)
    publisher.publish(review, person="berta")
    with pytest.raises(ReviewError, match="take that back first"):
        review.undo(person="berta")
    publisher.take_back(person="berta")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert review.counts().accepted == 2
    publisher.publish(review, person="berta")
    (folder / "intents.csv").write_text((folder / "intents.csv").read_text("utf-8") + "x,y,hello\n", encoding="utf-8")
    with pytest.raises(ReviewError, match=r"intents\.csv was changed since"):
        publisher.take_back(person="berta")


@pytest.mark.parametrize("kill_at", range(4))
def test_a_writing_that_was_killed_is_finished_by_the_next_start(state, review, folder, kill_at):
    class Killed(BaseException):
        pass

    written = []

    def kill(name):
        written.append(name)
        if len(written) > kill_at:
            raise Killed

    one, two = (group.id for group in review.list_groups() if "{" not in group.draft.template)
    decide(review, Accept(group=one), Accept(group=two, use="article"))
    with pytest.raises(Killed):
        Publisher(state, folder, on_write=kill).publish(review, person="berta")
    Publisher(state, folder)
    assert len(written) == kill_at + 1
    assert "answers" in yaml.safe_load((folder / "templates.yaml").read_text("utf-8"))
    assert len(yaml.safe_load((folder / "templates.yaml").read_text("utf-8"))["answers"]) == 2
    assert len(list((folder / "knowledge").iterdir())) == 1
    texts = [text for text, _ in rows(folder / "intents.csv")]
    assert len(texts) == len(set(texts)) > 3


def test_names_that_are_taken_are_refused_before_anything_is_written(state, review, folder):
    one, two, _ = ids(review)
    decide(
        review, Rename(group=one, name="fine"), Rename(group=two, name="hello"), Accept(group=one), Accept(group=two)
    )
    before = (folder / "intents.csv").read_bytes()
    with pytest.raises(ReviewError, match="'hello' already"):
        Publisher(state, folder).publish(review, person="berta")
    assert (folder / "intents.csv").read_bytes() == before
    assert review.counts().accepted == 2


def test_rows_of_an_intent_leave_its_answer_alone(folder):
    group = AcceptedGroup(id="g", use="rows", name="hello", template="", wordings=("good morning", "hiya", "=1+1"))
    changes = plan_records(folder, [group])
    assert list(changes) == ["intents.csv"]
    assert changes["intents.csv"].after.endswith("\n,hiya,hello\n,'=1+1,hello\n")


def test_a_slot_that_the_workspace_lacks_comes_with_the_answer(folder):
    (folder / "templates.yaml").write_text("answers:\n  hello: Hi\n", encoding="utf-8")
    wordings = tuple(f"where is it {number}" for number in range(10))
    group = AcceptedGroup(id="g", use="intent", name="track", template="See {order_number}.", wordings=wordings)
    text = plan_records(folder, [group], new_slots=SLOTS)["templates.yaml"].after
    assert yaml.safe_load(text)["slots"] == {"order_number": SLOTS["order_number"].model_dump()}


def test_articles_of_one_name_get_files_of_their_own(folder):
    group = AcceptedGroup(id="g", use="article", name="退货 说明!", template="七天内可以退货。", wordings=("怎么退货",))
    assert list(plan_records(folder, [group, group])) == ["knowledge/退货-说明.md", "knowledge/退货-说明_2.md"]


def test_a_file_that_cannot_be_added_to_is_named(folder):
    group = AcceptedGroup(id="g", use="rows", name="hello", template="", wordings=("hiya",))
    (folder / "intents.csv").write_text("words,label\na,b\n", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="'intent' is needed"):
        plan_records(folder, [group])


def test_requests_that_were_decided_on_are_not_offered_again(state, review, tmp_path):
    name = ids(review)[0]
    wordings = set(review.read_group(name).draft.wordings)
    decide(review, Drop(group=name))
    state.close()
    again = GroupReview(learn(tmp_path, conversations(72)))
    assert not any(wordings & set(group.draft.wordings) for group in again.list_groups())
