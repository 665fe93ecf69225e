"""`tunechain label`: suggestions that overwrite nobody's labels, and a loop whose answers survive a kill."""

import csv
import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from apps.cli import app, main
from apps.label_files import LabelColumns, LabelFile, read_labelled, read_unlabelled
from apps.label_session import LabelSession, choose_label
from llms.errors import DataFileError
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.labelling.active_learning import Suggestion
from tests.conftest import REPOSITORY
from tests.waiting import wait_until

COLUMNS = LabelColumns()
WORDS = ["refund", "money", "card", "lost", "stolen", "parcel", "late", "order"]
TEXTS = [f"where is my {first} {second}" for first in WORDS for second in WORDS if first != second]


def write_rows(path, header, rows=()):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def run(*args, text=None, code=0):
    result = CliRunner().invoke(app, ["label", *map(str, args)], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def pool(tmp_path):
    return write_rows(tmp_path / "pool.csv", ["text"], [[text] for text in TEXTS])


@pytest.fixture
def labelled(tmp_path):
    return tmp_path / "labels.csv"


@pytest.fixture
def loop(pool, labelled, encoder_folder):
    """A function (what is typed) -> what is shown."""

    def type_lines(*lines, args=()):
        text = "".join(f"{line}\n" for line in lines)
        return run(
            "loop", "--unlabelled", pool, "--labelled", labelled, "--base", encoder_folder, *args, text=text
        ).stdout

    return type_lines


def make_session(path, texts=TEXTS, batch=3):
    def suggest(known, remaining):
        return [Suggestion(text=text, place=place, reason="") for place, text in enumerate(remaining[:batch])]

    return LabelSession(file=LabelFile.open(path, COLUMNS), labelled=[], remaining=list(texts), suggest=suggest)


def test_suggestions_are_a_file_to_fill_in(pool, encoder_folder, tmp_path):
    out = tmp_path / "next.csv"
    said = run("suggest", "--unlabelled", pool, "--out", out, "-n", 5, "--base", encoder_folder).stdout
    header, *rows = read_rows(out)
    assert header == ["text", "label", "suggested_label", "probability", "reason"]
    assert len(rows) == 5
    assert all(text in TEXTS and not label and reason for text, label, _, _, reason in rows)
    assert f"5 texts in {out}; fill in the column 'label'" in said


def test_a_half_filled_file_of_suggestions_is_a_file_of_labels(pool, encoder_folder, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    run("suggest", "--unlabelled", pool, "--out", first, "-n", 8, "--base", encoder_folder)
    header, *rows = read_rows(first)
    for row, label in zip(rows, ["card", "money", "card", "money"], strict=False):
        row[1] = label
    write_rows(first, header, rows)
    result = run(
        "suggest", "--labelled", first, "--unlabelled", pool, "--out", second, "-n", 6, "--base", encoder_folder,
        "--json",
    )  # fmt: skip
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(shown) == len(read_rows(second)) - 1 <= 6
    assert {row["predicted"] for row in shown} <= {"card", "money"}
    assert not {row["text"] for row in shown} & {row[0] for row in rows[:4]}
    assert [row[2] for row in read_rows(second)[1:]] == [row["predicted"] for row in shown]
    again = run(
        "suggest", "--unlabelled", pool, "--out", first, "--base", encoder_folder, code=1
    )  # the labels in it would be lost
    assert isinstance(again.exception, DataFileError)
    assert "holds 4 labels" in str(again.exception)


def test_columns_may_have_other_names(encoder_folder, tmp_path):
    pool = write_rows(tmp_path / "pool.csv", ["id", "body"], [["1", TEXTS[0]], ["2", ""], ["3", TEXTS[40]]])
    known = write_rows(tmp_path / "known.csv", ["kind", "body"], [["card", TEXTS[0]], ["money", TEXTS[20]]])
    out = tmp_path / "out.csv"
    args = ["--text-column", "body", "--label-column", "kind", "--base", encoder_folder, "--new-label", "parcel"]
    result = run("suggest", "--unlabelled", pool, "--labelled", known, "--out", out, *args)
    assert [row[:2] for row in read_rows(out)] == [["body", "kind"], [TEXTS[40], ""]]
    assert "line 3 set aside: empty body" in result.stderr


def test_every_answer_is_a_row_at_once(loop, labelled):
    said = loop("card", "money", "1", "s", "q", args=["-n", "10"])
    rows = read_rows(labelled)
    assert rows[0] == ["text", "label"]
    assert [row[1] for row in rows[1:]] == ["card", "money", "card"]
    assert len({row[0] for row in rows[1:]}) == 3
    assert "stands for" in said or "unlike" in said
    assert "1 card  2 money" in said
    assert f"3 new labels, 3 in all, in {labelled}" in said
    assert f"train with: tunechain finetune classifier --train {labelled} --out MODEL" in said


def test_the_loop_goes_on_where_it_was_and_guesses_once_there_are_labels(loop, labelled):
    loop("card", "money", args=["-n", "2"])  # ends with the input, without a q
    said = loop("", "q", args=["-n", "2"])
    rows = read_rows(labelled)
    assert len(rows) == 4
    assert rows[3][1] in ("card", "money")
    assert f"label [{rows[3][1]}]:" in said
    assert "2 labelled · " in said
    assert len({row[0] for row in rows[1:]}) == 3


def test_an_answer_can_be_taken_back_and_so_can_a_skip(loop, labelled):
    said = loop("card", "mony", "u", "money", "s", "u", "=1", "u", "u", "u", "u", "q", args=["-n", "10"])
    assert read_rows(labelled) == [["text", "label"]]
    assert "there is nothing to take back" in said
    said = loop("card", "u", "money", "q")
    assert [row[1] for row in read_rows(labelled)[1:]] == ["money"]


def test_what_cannot_be_meant_is_asked_again(loop, labelled):
    said = loop("", "7", "card", "CARD", "cards", "x" * 300, "q", args=["-n", "10"])
    assert "there is no guess yet; type a label" in said
    assert "there is no choice 7; for a label of that name type '=7'" in said
    assert "new label, much like 'card'" in said
    assert "at most 200" in said
    assert [row[1] for row in read_rows(labelled)[1:]] == ["card", "card", "cards"]


def test_the_loop_ends_when_nothing_is_left(encoder_folder, tmp_path, labelled):
    pool = write_rows(tmp_path / "two.csv", ["text"], [[TEXTS[0]], [TEXTS[0].upper()], [TEXTS[0]]])
    said = run("loop", "--unlabelled", pool, "--labelled", labelled, "--base", encoder_folder, text="a\nb\n").stdout
    assert "nothing is left to label" in said
    assert len(read_rows(labelled)) == 2


LABEL_WITH_FAKES = """
import sys
from apps import label_commands
from apps.cli import main
from tests.llms.finetuning.planted_texts import PlantedEncoder
label_commands._open_encoder = lambda base, texts: PlantedEncoder({"": [0.0] * 16})
sys.argv = ["tunechain", *sys.argv[1:]]
main()
"""


def test_answers_survive_a_kill(pool, labelled):
    args = ["label", "loop", "--unlabelled", pool, "--labelled", labelled, "-n", "5"]
    process = subprocess.Popen(
        [sys.executable, "-c", LABEL_WITH_FAKES, *map(str, args)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    process.stdin.write(b"card\nmoney\ncard\n")
    process.stdin.flush()
    wait_until(lambda: labelled.exists() and labelled.read_bytes().count(b"\n") == 4)
    process.send_signal(signal.SIGKILL)  # it waits for the fourth answer
    process.wait()
    process.stdin.close()
    rows, rejected = read_labelled(labelled, COLUMNS)
    assert [row.label for row in rows] == ["card", "money", "card"]
    assert rejected == []


def test_texts_with_quotes_commas_and_lines_come_back_as_they_were(labelled):
    odd = ['a "b", c', "one\ntwo", "退货,要多久", "end\r\nmore"]
    file = LabelFile.open(labelled, COLUMNS)
    for text in odd:
        file.append(text, "x,y")
    rows, rejected = read_labelled(labelled, COLUMNS)
    assert [row.text for row in rows] == odd
    assert rejected == []


def test_a_file_of_others_keeps_its_columns_line_ends_and_last_row(labelled):
    labelled.write_bytes("\ufeffid,label,text\r\n7,card,退货".encode())
    LabelFile.open(labelled, COLUMNS).append("new", "money")
    assert labelled.read_bytes().decode("utf-8-sig") == "id,label,text\r\n7,card,退货\r\n,money,new\r\n"


def test_undo_refuses_a_file_that_others_changed(labelled):
    session = make_session(labelled)
    session.current()
    session.answer("card")
    with labelled.open("a", encoding="utf-8") as file:
        file.write("another,row\n")
    with pytest.raises(DataFileError, match="changed by another program"):
        session.undo()
    assert len(read_rows(labelled)) == 3


def test_undo_reaches_back_over_batches(labelled):
    session = make_session(labelled)
    asked = []
    for _ in range(5):
        asked.append(session.current().text)
        session.answer("card")
    for text in reversed(asked):
        session.undo()
        assert session.current().text == text
    assert read_rows(labelled) == [["text", "label"]]
    assert sorted(session.remaining) == sorted(TEXTS)
    assert session.labelled == []
    assert session.num_new == 0


def test_choices_are_the_likeliest_then_the_frequent_then_the_named(labelled):
    session = make_session(labelled)
    session.labelled = [LabelledText("a", "rare"), LabelledText("b", "often"), LabelledText("c", "often")]
    session.named = ["named"]
    session.suggest = lambda known, remaining: [
        Suggestion(text=remaining[0], place=0, reason="", predicted="rare", likeliest=("rare",))
    ]
    assert session.choices() == ["rare", "often", "named"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("", "b"), (" ", "b"), ("1", "b"), ("2", "a"), ("=2", "2"), ("=s", "s"), ("B", "b"), ("b c", "b c"), ("=", "")],
)
def test_an_answer_means_one_label(typed, meant):
    assert choose_label(typed, ["b", "a"], ["a", "b"], guess="b")[0] == meant


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,kind\na,b\n", "'label' is needed"),
        (b'text,label\n"cut off', "damaged in line 2"),
    ],
)
def test_a_file_that_no_row_can_be_added_to_is_refused(labelled, content, message):
    labelled.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        LabelFile.open(labelled, COLUMNS)
    assert labelled.read_bytes() == content


def test_labels_are_kept_in_csv_only(tmp_path):
    with pytest.raises(DataFileError, match=r"no \.csv file"):
        LabelFile.open(tmp_path / "labels.jsonl", COLUMNS)
    with pytest.raises(DataFileError, match="cannot be written"):
        LabelFile.open(tmp_path / "none" / "labels.csv", COLUMNS)
    with pytest.raises(DataFileError, match="a column each"):
        LabelColumns(text="a", label="a")


def test_a_header_alone_is_a_file_without_labels(tmp_path):
    assert read_labelled(write_rows(tmp_path / "a.csv", ["text", "label"]), COLUMNS) == ([], [])
    (tmp_path / "mac.csv").write_bytes(b"text,label\rlate,track\rlost,track\r")
    assert [row.text for row in read_labelled(tmp_path / "mac.csv", COLUMNS)[0]] == ["late", "lost"]
    LabelFile.open(tmp_path / "mac.csv", COLUMNS).append("gone", "track")
    assert [row.text for row in read_labelled(tmp_path / "mac.csv", COLUMNS)[0]] == ["late", "lost", "gone"]
    with pytest.raises(DataFileError, match="'label' is needed"):
        read_labelled(write_rows(tmp_path / "b.csv", ["text", "kind"]), COLUMNS)
    with pytest.raises(DataFileError, match="header but no rows"):
        read_unlabelled(write_rows(tmp_path / "c.csv", ["text"]), COLUMNS)


def test_texts_that_are_none_are_named_and_the_others_are_suggested(tmp_path, encoder_folder):
    texts = [*TEXTS[:4], "nul \0 here", "half \ud83d", "long " * 4001, None, " ", 7, ["a"], *TEXTS[4:8]]
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts), encoding="utf-8")
    out = tmp_path / "next.csv"
    result = run("suggest", "--unlabelled", pool, "--out", out, "-n", 20, "--base", encoder_folder)
    assert {row[0] for row in read_rows(out)[1:]} <= set(TEXTS)
    assert [f"line {number} set aside" in result.stderr for number in range(4, 11)] == [False, *[True] * 5, False]
    assert "2 more rows set aside" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["suggest", "--unlabelled", "none.csv", "--out", "o.csv"], 1, "there is no file none.csv"),
        (["suggest", "--unlabelled", "pool.csv", "--out", "o.txt", "--base", "none"], 1, "no .csv file"),
        (["suggest", "--unlabelled", "pool.csv", "--labelled", "none.csv", "--out", "o.csv"], 1, "there is no file"),
        (["suggest", "--unlabelled", "pool.csv", "--out", "o.csv", "-n", "0"], 2, "greater than or equal"),
        (["suggest", "--out", "o.csv"], 2, "--unlabelled"),
        (["loop", "--unlabelled", "pool.csv", "--labelled", "l.csv", "--base", "none"], 1, "none"),
    ],
)
def test_mistakes_end_with_a_message(pool, encoder_folder, tmp_path, monkeypatch, capsys, args, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tunechain", "label", *(arg.format(encoder=encoder_folder) for arg in args)])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().err
    assert caught.value.code == code
    assert message in said
    assert "Traceback" not in said


def test_help_explains_the_keys_and_loads_nothing_heavy():
    assert all(f" {command} " in run("--help").stdout for command in ("suggest", "loop"))
    said = run("loop", "--help").stdout
    assert "Enter accepts the guess" in said
    assert "--json" in run("suggest", "--help").stdout
    call = "import sys, apps.cli; print(sorted({'torch', 'numpy', 'sklearn', 'pydantic'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", call], capture_output=True, check=True, cwd=REPOSITORY, timeout=120)
    assert loaded.stdout == b"[]\n"
