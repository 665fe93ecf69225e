"""Files of a workspace: every bad row is set aside with its line, every bad file refused with the reason."""

import io
import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.errors import WorkspaceError
from apps.readers import (
    read_catalogue,
    read_events,
    read_known_questions,
    read_known_surges,
    read_post_lines,
    read_posts,
    read_templates,
    read_text_lines,
)
from chains.monitoring import Post
from llms.errors import DataFileError
from llms.finetuning.data.tables import RejectedRow
from retrievers.items import Item, ItemCatalogue

ITEMS = "id,title,description,tags,price,created\n"
GOOD_ITEMS = "".join(f"g{n},Good {n},,a,1,2026-01-01\n" for n in range(6))
EVENTS = "user,item,event,time\n"
GOOD_EVENTS = "".join(f"u{n},a,view,2026-01-0{n + 1}T00:00:00Z\n" for n in range(6))
CATALOGUE = ItemCatalogue([Item(id="a", title="A"), Item(id="b", title="B")])
POST = {"id": "p", "time": "2026-03-02T09:30:00+01:00", "source": "forum", "text": "The app is down"}


@pytest.fixture
def write(tmp_path):
    """A function (name, text or bytes) -> path of a file with them."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write_file


def test_items_come_with_tags_price_and_date_and_further_columns_are_left_alone(write):
    path = write(
        "items.csv", "id,title,description,tags,price,created,brand\na,A,,x| y ||,9.50,2026-01-02,Z\nb,B,,,,,Z\n"
    )
    catalogue, rejected = read_catalogue(path)
    assert rejected == []
    assert catalogue["a"].tags == ("x", "y")
    assert (catalogue["a"].price, str(catalogue["a"].created)) == (9.5, "2026-01-02")
    assert (catalogue["b"].tags, catalogue["b"].price, catalogue["b"].created) == ((), None, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",A,,,,", "id: "),
        ("a,,,,,", "title: "),
        ("a,A,,,cheap,", "price: "),
        ("a,A,,,-1,", "price: "),
        ("a,A,,,nan,", "price: "),
        ("a,A,,,inf,", "price: "),
        ("a,A,,,,2026-13-01", "created: "),
        ("a,A,,,,yesterday", "created: "),
        ("g0,Again,,,,", "id 'g0' was given before"),
        ("a,A,,", "4 cells where the header has 6"),
        ("a,A\x00,,,,", "title: text holds a NUL"),
        (f"a,{'A' * 1_000_000},,,,", "title: text has 1,000,000 characters"),
        ("a,退,,,,".encode("gb18030"), "title: bytes that are not UTF-8"),
    ],
)
def test_an_item_that_cannot_be_is_set_aside_with_its_line(write, row, reason):
    raw = row if isinstance(row, bytes) else row.encode()
    catalogue, rejected = read_catalogue(write("items.csv", (ITEMS + GOOD_ITEMS).encode() + raw + b"\n"))
    assert len(catalogue) == 6
    assert catalogue["g0"].title == "Good 0"
    assert [entry.line for entry in rejected] == [8]
    assert rejected[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("u,a,like,2026-01-01T00:00:00Z", "event: "),
        ("u,c,view,2026-01-01T00:00:00Z", "item 'c' is not in the catalogue"),
        ("u,a,view,2026-01-01T00:00:00", "time: "),
        ("u,a,view,2026-02-30T00:00:00Z", "time: "),
        ("u,a,view,", "time: "),
        (",a,view,2026-01-01T00:00:00Z", "user: "),
        ("u,,view,2026-01-01T00:00:00Z", "item: "),
        ("u,a,view", "3 cells where the header has 4"),
    ],
)
def test_an_event_that_cannot_be_is_set_aside_with_its_line(write, row, reason):
    events, rejected = read_events(write("events.csv", f"{EVENTS}{row}\n{GOOD_EVENTS}"), CATALOGUE)
    assert len(events) == 6
    assert [entry.line for entry in rejected] == [2]
    assert rejected[0].reason.startswith(reason)


def test_stock_and_dates_of_items_are_read_and_other_columns_are_named(write, caplog):
    head = "id,title,description,tags,price,created,stock,available_from,colour\n"
    catalogue, rejected = read_catalogue(write("items.csv", f"{head}a,A,,,,,0,2026-03-01,red\nb,B,,,,,,,\n"))
    assert (catalogue["a"].stock, catalogue["a"].available_from) == (0, date(2026, 3, 1))
    assert (catalogue["b"].stock, catalogue["b"].available_from) == (None, None)
    assert not rejected
    assert "columns that are not read: 'colour'" in caplog.text


def test_events_bring_the_text_of_comments(write, caplog):
    head = "user,item,event,time,text,device\n"
    events, _ = read_events(
        write("events.csv", f"{head}u,a,comment,2026-01-01T00:00:00Z,broke at once,phone\n"), CATALOGUE
    )
    assert [event.text for event in events] == ["broke at once"]
    assert "'device'" in caplog.text


def test_events_come_oldest_first_over_all_zones_and_equal_times_keep_their_order(write):
    rows = "u1,a,view,2026-01-01T12:00:00+08:00\nu2,b,buy,2026-01-01T03:00:00Z\nu3,a,view,2026-01-01T04:00:00Z\n"
    events, _ = read_events(write("events.csv", EVENTS + rows), CATALOGUE)
    assert [event.user for event in events] == ["u2", "u1", "u3"]


@pytest.mark.parametrize(
    ("read", "name", "content", "reason"),
    [
        (read_catalogue, "items.csv", None, "there is no file"),
        (read_catalogue, "items.csv", "", "is empty"),
        (read_catalogue, "items.csv", ITEMS, "no rows"),
        (read_catalogue, "items.csv", "id,title\na,A\n", "'description' is needed"),
        (read_catalogue, "items.csv", f"{ITEMS}a,A,,,x,\nb,B,,,y,\nc,C,,,1,\n", "2 of 3 rows .* line 2: price"),
        (lambda path: read_events(path, CATALOGUE), "events.csv", EVENTS.encode("utf-16-be"), "iconv -f UTF-16BE"),
        (lambda path: read_events(path, CATALOGUE), "events.csv", f"{EVENTS}u,c,view,2026-01-01T00:00:00Z\n", "1 of 1"),
        (read_posts, "stream.jsonl", '{"id": "p"}\n', "1 of 1 rows .* line 1: no 'time'"),
        (read_posts, "stream.jsonl", json.dumps(POST | {"time": "2026-01-01T00:00:00"}), "1 of 1 rows .* time: "),
        (read_posts, "posts.txt", "{}", "neither"),
        (read_known_surges, "surges.csv", "topic,start\na,b\n", "'end' is needed"),
        (read_known_surges, "surges.csv", "topic,start,end\na,b,c\n", "line 2: Invalid isoformat"),
        (read_known_surges, "surges.csv", "topic,start,end\na,2026-01-01,2026-01-02\n", "line 2: a time has no zone"),
        (read_known_surges, "surges.csv", "topic,start,end\n" + "a,2026-01-01Z,2026-01-02Z\n" * 2 + "a\n", "line"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(write, tmp_path, read, name, content, reason):
    path = tmp_path / name if content is None else write(name, content)
    with pytest.raises(DataFileError, match=reason):
        read(path)


@pytest.mark.parametrize("post_id", [7, 7.0, " 7 ", "７", "7\u200b"])
def test_an_id_is_compared_in_one_form(write, post_id):
    row = json.dumps(POST | {"id": post_id})
    (post,), rejected = read_posts(write("stream.jsonl", row))
    assert (post.id, rejected) == ("7", [])
    assert next(read_post_lines(io.StringIO(row))).id == "7"


@pytest.mark.parametrize("post_id", [True, 7.5, None, [7]])
def test_what_is_no_id_is_set_aside_without_inner_names(write, post_id):
    (found,) = read_post_lines(io.StringIO(json.dumps(POST | {"id": post_id})))
    assert found.reason.startswith("id: must be a text, got ")
    with pytest.raises(DataFileError, match="id: must be a text") as caught:
        read_posts(write("stream.jsonl", json.dumps(POST | {"id": post_id})))
    assert "UTF-8" not in str(caught.value)
    assert '{"id": "p1", "time"' in str(caught.value)


def test_users_and_items_meet_whatever_spaces_stand_around_them(write):
    catalogue, rejected = read_catalogue(write("items.csv", f"{ITEMS}x ,X,,,,\n{GOOD_ITEMS}x,Again,,,,\n"))
    assert "x" in catalogue
    assert [entry.reason for entry in rejected] == ["id 'x' was given before; ids must be unique"]
    times = "view,2026-01-01T00:00:00Z"
    events, _ = read_events(write("events.csv", f"{EVENTS}u042 , x,{times}\nu042,x\u200b,{times}\n"), catalogue)
    assert {(event.user, event.item) for event in events} == {("u042", "x")}


def test_words_for_a_missing_value_are_warned_of_once_a_column(write, caplog):
    rows = "nan,a,view,2026-01-01T00:00:00Z\n" * 3
    read_events(write("events.csv", EVENTS + rows + GOOD_EVENTS), CATALOGUE)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "'nan' as user in 3 rows, the first in line 2" in warning


@pytest.mark.parametrize(
    ("read", "name", "content"),
    [
        (read_catalogue, "items.csv", (ITEMS + GOOD_ITEMS).replace(",", ";")),
        (read_catalogue, "items.csv", "sep=\t\n" + (ITEMS + GOOD_ITEMS).replace(",", "\t")),
        (read_catalogue, "items.csv", f",{ITEMS}" + "".join(f"{n},g{n},Good {n},,a,1,2026-01-01\n" for n in range(6))),
        (read_catalogue, "items.csv", (ITEMS + GOOD_ITEMS).encode("utf-16")),
    ],
)
def test_tables_are_read_by_the_rules_of_every_other_table(write, read, name, content):
    assert len(read(write(name, content))[0]) == 6


def test_posts_may_stand_in_one_array(write):
    path = write("stream.jsonl", json.dumps([POST, POST | {"id": "q"}], indent=1))
    assert [post.id for post in read_posts(path)[0]] == ["p", "q"]


def test_known_surges_may_be_missing(tmp_path, write):
    assert read_known_surges(tmp_path / "none.csv") == []
    times = "2026-03-19T06:00:00+00:00,2026-03-21T06:00:00+00:00"
    (surge,) = read_known_surges(write("surges.csv", f"topic,start,end\nrules,{times}\n"))
    assert (surge.topic, surge.start.isoformat(), surge.end.isoformat()) == ("rules", *times.split(","))


BAD_POSTS = [
    ("{", "not valid JSON: Expecting"),
    ("null", "expected a JSON object, got NoneType"),
    ("[1]", "expected a JSON object, got list"),
    ("{}", "no 'id'"),
    (json.dumps(POST | {"text": "a\x00"}), "text: text holds a NUL"),
    (json.dumps(POST | {"text": "\ud800"}), "text: text holds a lone surrogate"),
    (json.dumps(POST | {"text": None}), "text: must be a text, got nothing (null)"),
    (json.dumps(POST | {"text": "a" * 1_000_000}), "text: text has 1,000,000 characters"),
    (json.dumps(POST | {"id": ""}), "id: is empty; fill it in"),
    (json.dumps(POST | {"time": "2026-03-02T09:30:00"}), "time: "),
    (json.dumps(POST | {"time": 1e400}), "time: "),
    ("[" * 100_000, "not valid JSON: brackets are nested too deeply"),
    ("\udcff", "not valid JSON: Expecting value"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_POSTS)
def test_a_post_that_cannot_be_is_set_aside_with_its_line_in_a_stream_and_in_a_file(write, line, reason):
    good = json.dumps(POST | {"score": 7})
    found = list(read_post_lines(io.StringIO(f"{good}\n\n{line}\n{good}")))
    assert [type(entry) for entry in found] == [Post, RejectedRow, Post]
    assert found[1].line == 3
    assert found[1].reason.startswith(reason)
    raw = f"{good}\n\n{line}\n{good}".encode("utf-8", errors="surrogateescape")
    posts, rejected = read_posts(write("stream.jsonl", raw))
    assert (len(posts), [entry.line for entry in rejected]) == (2, [3])


def test_a_byte_order_mark_before_a_stream_is_skipped():
    assert isinstance(next(read_post_lines(io.StringIO("\ufeff" + json.dumps(POST)))), Post)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n")) | st.just(json.dumps(POST)), max_size=6))
def test_every_line_of_a_stream_is_a_post_or_set_aside(lines):
    found = list(read_post_lines(io.StringIO("\n".join(lines), newline="\n")))
    assert len(found) == sum(bool(line.strip()) for line in lines)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("bad \udcff byte", "bytes that are not UTF-8"),
        ("nul \0 here", "NUL"),
        ("half \ud83d", "surrogate"),
        ("long " * 20_001, "100,005 characters, at most 100,000"),
        ("\ufeffmark \0", "NUL"),
        ("\0", "NUL"),
    ],
)
def test_a_line_that_is_no_text_is_named_and_the_others_are_read(bad, reason):
    first, found, last = read_text_lines(["where is my parcel\n", "\n", f"{bad}\r\n", "退货"])
    assert (first, last) == ("where is my parcel", "退货")
    assert found.line == 3
    assert reason in found.reason


def test_a_byte_order_mark_before_lines_is_no_part_of_the_first_text():
    assert list(read_text_lines(["\ufeffwhere is it\r\n", "\ufeff\n", "退货"])) == ["where is it", "退货"]


def test_templates_are_read_with_their_slots(write):
    book = read_templates(
        write(
            "t.yaml",
            b"\xef\xbb\xbf" + "answers: {退货: '请{单号}'}\nslots: {单号: {pattern: RT, ask: 单号？}}".encode(),
        )
    )
    assert book.fill("退货", "RT").text == "请RT"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it maps each intent to its approved answer"),
        ("", "needs 'answers'"),
        ("- a\n", "needs 'answers'"),
        ("slots: {}\n", r"answers: is missing; add it"),
        ("answers: {a: 5}\n", "answers.a: "),
        ("answers: {a: '{'}\n", "the answer for 'a' has a '{'"),
        ("answers: {a: '{order}'}\n", "which is not under 'slots'"),
        ("answers: {a: x}\nslots: {order: {pattern: '(', ask: q}}\n", "slots.order.pattern: .*no regular expression"),
        ("answers: {a: x}\nmore: 1\n", r"more: is not known here.* \(line 2\)"),
        ("answers: {a: x, b: y, a: z}\n", "'a' is given twice"),
        ("answers: {a: x}\nanswers: {b: y}\n", "'answers' is given twice"),
        ("answers: {? [a] : x}\n", "needs 'answers'|cannot be read as YAML"),
        ("answers: [\n", "cannot be read as YAML"),
        ("answers: !!python/object/apply:os.system [ls]\n", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("answers: {a: 退}\n".encode("gb18030"), "GB18030, .*iconv -f GB18030"),
        ("answers: {a: '\x00'}\n", r"cannot be read as YAML: .*U\+0000 in line 1"),
    ],
)
def test_templates_that_cannot_be_used_are_refused_with_the_reason(write, tmp_path, content, reason):
    path = tmp_path / "t.yaml" if content is None else write("t.yaml", content)
    with pytest.raises(WorkspaceError, match=reason):
        read_templates(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("answers:\n  yes: a\n", r"t\.yaml .*'yes' in line 2 is read as true or false, .* put it in quotes: \"yes\":"),
        ("answers:\n  a: x\n  no: a\n", "'no' in line 3 is read as true or false"),
        ("answers:\n  on: a\n", "'on' in line 2 is read as true or false"),
        ("answers:\n  404: a\n", "'404' in line 2 is read as a number, .* \"404\":"),
        ("answers:\n  null: a\n", "'null' in line 2 is read as nothing"),
        ("answers:\n  2026-01-01: a\n", "'2026-01-01' in line 2 is read as a date"),
        ("answers:\n  price: 79\n", r"answers\.price: must be a text, got a number \(line 2\); put it in quotes"),
        ("answers:\n  a: x\n  open: yes\n", r"answers\.open: must be a text, got true or false \(line 3\); put it"),
        ("answers:\n  hours:\n", r"answers\.hours: must be a text, got nothing \(null\) \(line 2\)"),
        ("answers:\n  hours: Open: 9 to 5\n", "mapping values are not allowed here in line 2, column 14"),
    ],
)
def test_yaml_that_means_something_else_says_the_line_and_what_to_write(write, content, reason):
    with pytest.raises(WorkspaceError, match=reason) as caught:
        read_templates(write("t.yaml", content))
    assert not any(inner in str(caught.value) for inner in ("[key]", "Input should", "unicode string"))


def test_quoted_names_are_intents_and_other_encodings_are_read(write):
    book = read_templates(write("t.yaml", 'answers:\n  "no": "All right."\n  \'404\': x\n'.encode("utf-16")))
    assert dict(book.answers) == {"no": "All right.", "404": "x"}


@pytest.mark.parametrize("content", ["", "# none yet\n", "[]\n"])
def test_known_questions_may_be_none(write, content):
    assert read_known_questions(write("known_questions.yaml", content)) == []


def test_a_number_as_the_id_of_a_known_question_wants_quotes(write):
    path = write("known_questions.yaml", "- id: 007\n  question: Q?\n  answer: A\n")
    with pytest.raises(WorkspaceError, match=r"0\.id: must be a text, got a number \(line 1\); put it in quotes"):
        read_known_questions(path)


def test_a_folder_in_the_place_of_the_templates_is_refused(tmp_path):
    with pytest.raises(WorkspaceError, match="cannot be read"):
        read_templates(tmp_path)
