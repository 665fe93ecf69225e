"""Tables of the operator as tools, and curated answers from a file."""

import pytest

from apps.errors import WorkspaceError
from apps.lookups import read_lookups
from apps.readers import read_known_questions


def _write(folder, text, name="order_state.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_table_is_a_tool_named_like_its_file(tmp_path):
    (tool,) = read_lookups(_write(tmp_path / "lookups", "order_number,text\nVT-204918,is packed\n"))
    assert tool.name == "order_state"
    assert tool.args.keys() == {"order_number"}
    assert tool.invoke({"order_number": "VT-204918"}) == "is packed"


@pytest.mark.parametrize(
    ("asked", "found"),
    [("vt 204918", "is packed"), ("VT204918", "is packed"), ("ＶＴ–２０４９１８", "is packed"), ("VT-1", "")],
)
def test_signs_and_capitals_make_no_difference(tmp_path, asked, found):
    (tool,) = read_lookups(_write(tmp_path / "lookups", "order_number,text\nVT-204918,is packed\n"))
    assert tool.invoke({"order_number": asked}) == found


def test_a_row_may_need_several_columns(tmp_path):
    text = "order_number,name,text\nVT-1,Ada,late\nVT-1,Bo,early\n"
    (tool,) = read_lookups(_write(tmp_path / "lookups", text))
    assert tool.invoke({"order_number": "VT-1", "name": "bo"}) == "early"


@pytest.mark.parametrize(("owner", "found"), [("anna", "is packed"), ("bob", ""), (None, "is packed")])
def test_a_row_with_an_owner_is_found_for_that_owner_only(tmp_path, owner, found):
    text = "order_number,owner,text\nVT-1,anna,is packed\nVT-2,bob,is late\n"
    (tool,) = read_lookups(_write(tmp_path / "lookups", text))
    assert tool.args.keys() == {"order_number"}
    config = {"configurable": {"owner": owner}} if owner else {}
    assert tool.invoke({"order_number": "VT-1"}, config) == found


def test_no_folder_is_no_tool(tmp_path):
    assert read_lookups(tmp_path / "lookups") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("text\nis packed\n", "needs a column beside 'text'"),
        ("order_number,text\nVT-1,a\nvt1,b\n", "line 3 of .* has the order_number of an earlier line"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused(tmp_path, text, problem):
    with pytest.raises(WorkspaceError, match=problem):
        read_lookups(_write(tmp_path / "lookups", text))


def test_known_questions_are_read_with_their_wordings(tmp_path):
    path = tmp_path / "known_questions.yaml"
    path.write_text(
        "- id: gift\n  question: 礼品卡会过期吗？\n  answer: 五年。\n  wordings: [会失效吗]\n", encoding="utf-8"
    )
    (question,) = read_known_questions(path)
    assert (question.id, question.question, question.answer, question.wordings) == (
        "gift",
        "礼品卡会过期吗？",
        "五年。",
        ("会失效吗",),
    )


def test_no_file_is_no_known_question(tmp_path):
    assert read_known_questions(tmp_path / "known_questions.yaml") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- id: a\n  question: b\n", r"0\.answer: is missing; add it \(line 1\)"),
        ("id: a\n", "needs a list"),
        ("- id: a\n  question: b\n  answer: c\n  answr: d\n", r"0\.answr: is not known here.*\(line 4\)"),
        ("- [", "cannot be read as YAML"),
    ],
)
def test_known_questions_of_another_form_are_refused(tmp_path, text, problem):
    path = tmp_path / "known_questions.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError, match=problem):
        read_known_questions(path)
