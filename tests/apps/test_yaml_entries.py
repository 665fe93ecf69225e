"""Entries added to YAML files: what people wrote there stays, to the letter."""

import pytest
import yaml

from apps.errors import WorkspaceError
from apps.yaml_entries import add_to_list, add_to_mapping

FILES = {
    "plain": "answers:\n  a: one\n",
    "no end of line": "answers:\n  a: one",
    "comments": "# top\nanswers:   # ours\n  a: one  # first\n  # last words\nslots: {}\n",
    "section in the middle": "answers:\n    a: one\n    b: >\n      folded\n      text\n# titles\ntitles:\n    a: A\n",
    "block text at the end": "answers:\n  a: |\n    one\n    two\n",
    "block text, then comments": "answers:\n  a: |\n    one\n\n# about titles\ntitles:\n  a: A\n",
    "empty section": "answers:\ntitles: {}\n",
    "braces": "answers: {}\ntitles: {a: A}\n",
    "filled braces": "answers: {a: one, b: 'two'}\ntitles: {}\n",
    "nothing": "",
    "comments only": "# nothing yet\n",
    "windows": "answers:\r\n  a: one\r\n",
    "quoted, in Chinese": 'answers:\n  退款: "五天内到账"\n',
}
ENTRIES = {
    "new": 'It says "yes": {order} # no comment',
    "on": "a word that YAML reads as true",
    "退货": "七天内可以退货。",
    "lines": "one\ntwo\u2028three\ttab",
}


@pytest.mark.parametrize("name", FILES)
def test_entries_come_behind_those_that_are_there(name):
    text = FILES[name]
    changed = add_to_mapping(text, "answers", ENTRIES)
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(changed)
    assert after["answers"] == {**(before.get("answers") or {}), **ENTRIES}
    assert {key: value for key, value in after.items() if key != "answers"} == {
        key: value for key, value in before.items() if key != "answers"
    }
    # every comment is there, and every line of what was no empty section
    assert [line for line in text.splitlines() if line.strip().startswith("#")] == [
        line for line in changed.splitlines() if line.strip().startswith("#")
    ]
    assert ("\r\n" in changed) == ("\r\n" in text)
    assert "\n" not in changed.replace("\r\n", "") if "\r\n" in text else True


def test_nothing_to_add_changes_nothing():
    assert add_to_mapping("a: [", "answers", {}) == "a: ["
    assert add_to_list("- [", []) == "- ["


def test_a_mapping_is_written_in_lines():
    changed = add_to_mapping("answers:\n  a: one\n", "slots", {"order": {"pattern": r"\d+", "ask": "Which?"}})
    assert yaml.safe_load(changed)["slots"] == {"order": {"pattern": r"\d+", "ask": "Which?"}}
    assert changed.startswith("answers:\n  a: one\n")


@pytest.mark.parametrize(
    "text",
    ["", "# none\n", "[]\n", "- id: a\n  answer: b\n", "  - id: a\n    wordings:\n      - x\n# end\n"],
)
def test_items_come_behind_those_of_a_list(text):
    entry = {"id": "b", "answer": "Yes: {x}", "wordings": ["one", "two: three"]}
    changed = add_to_list(text, [entry])
    assert yaml.safe_load(changed) == [*(yaml.safe_load(text) or []), entry]
    assert changed.count("# ") == text.count("# ")


@pytest.mark.parametrize("text", ["- a\n", "answers: text\n", "answers: [a, b]\n", "just words\n"])
def test_what_is_not_understood_is_refused_and_nothing_guessed(text):
    with pytest.raises(WorkspaceError):
        add_to_mapping(text, "answers", {"b": "two"})


def test_a_section_that_another_one_repeats_is_refused():
    text = "answers: &x\n  a: one\nother: *x\n"
    with pytest.raises(WorkspaceError):  # the other section would change with it
        add_to_mapping(text, "answers", {"b": "two"})


@pytest.mark.parametrize("text", ["a: b\n", "just words\n"])
def test_a_file_that_is_no_list_is_refused(text):
    with pytest.raises(WorkspaceError):
        add_to_list(text, [{"id": "b"}])
