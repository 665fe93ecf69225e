"""Files of tagged texts: what is read, and what is set aside with its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import DataFileError, TrainingDataError
from llms.finetuning.tagger.data import (
    LabelledSpan,
    TaggedText,
    TaggedTexts,
    check_tagged_texts,
    split_tagged_texts,
)
from llms.finetuning.tagger.files import read_tagged_texts

GOOD = {"text": "To Lyon", "spans": [{"start": 3, "end": 7, "label": "place"}]}


def _write(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def _spans(row):
    return [(row.text[span.start : span.end], span.label) for span in row.spans]


def _json_lines(tmp_path, *rows):
    return _write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def test_conll_tokens_are_joined_with_spaces_and_spans_keep_their_place(tmp_path):
    content = "-DOCSTART- -X- O O\n\nThe DT - O\nNew NNP - B-LOC\nYork NNP - I-LOC\n. . - O\n\n\nAnn NNP - B-PER\n"
    rows = read_tagged_texts(_write(tmp_path / "a.conll", content)).rows
    assert [row.text for row in rows] == ["The New York .", "Ann"]
    assert [_spans(row) for row in rows] == [[("New York", "LOC")], [("Ann", "PER")]]
    assert [row.line for row in rows] == [3, 9]


def test_iob1_tags_begin_a_span_with_i(tmp_path):
    content = "Ann\tI-PER\nBob\tB-PER\nin\tO\nLyon\tI-LOC\n"
    (row,) = read_tagged_texts(_write(tmp_path / "a.txt", content)).rows
    assert _spans(row) == [("Ann", "PER"), ("Bob", "PER"), ("Lyon", "LOC")]


def test_chinese_tokens_are_joined_without_spaces(tmp_path):
    content = "我\tO\n在\tO\n北\tB-LOC\n京\tI-LOC\nA\tO\n"
    path = _write(tmp_path / "a.train", content)
    assert [(row.text, _spans(row)) for row in read_tagged_texts(path).rows] == [("我在北京A", [("北京", "LOC")])]
    assert read_tagged_texts(path, separator=" ").rows[0].text == "我 在 北 京 A"


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"text": "To Lyon", "entities": [[3, 7, "place"]]},
        {"text": "To Lyon", "entities": [{"id": 1, "label": "place", "start_offset": 3, "end_offset": 7}]},
        {"id": 4, "text": "To Lyon", "label": [[3, 7, "place"]]},
        {"id": 4, "text": "To Lyon", "labels": [[3.0, 7.0, "place"]]},
        {
            "data": {"text": "To Lyon"},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {"result": [{"value": {"start": 3, "end": 7, "text": "Lyon", "labels": ["place"]}}]},
            ],
        },
        {"tokens": ["To", "Lyon"], "ner_tags": ["O", "S-place"]},
        {"tokens": ["To", "Lyon"], "tags": ["O", "U-place"]},
        {"text": "To Lyon", "spans": [{"start": 2, "end": 7, "label": " place "}]},
        {"tokens": ["To", "Lyon"], "tags": ["O", "B-place"]},
    ],
)
def test_each_form_of_a_json_row_is_read(tmp_path, row):
    (found,) = read_tagged_texts(_json_lines(tmp_path, row)).rows
    assert (found.text, _spans(found)) == ("To Lyon", [("Lyon", "place")])


def test_a_task_that_was_submitted_without_a_span_has_none(tmp_path):
    (found,) = read_tagged_texts(_json_lines(tmp_path, {"data": {"text": "Hi"}, "annotations": [{"result": []}]})).rows
    assert (found.text, found.spans) == ("Hi", ())


@pytest.mark.parametrize(
    ("begin", "middle", "end", "single"), [("B", "I", "E", "S"), ("B", "M", "E", "S"), ("B", "I", "L", "U")]
)
def test_schemes_that_mark_ends_are_read(tmp_path, begin, middle, end, single):
    tags = [f"{begin}-N", f"{middle}-N", f"{end}-N", "O", f"{single}-L", f"{single}-L", f"{begin}-N", f"{end}-N"]
    content = "".join(f"{token} {tag}\n" for token, tag in zip("王小明在京沪李四", tags, strict=True))
    (row,) = read_tagged_texts(_write(tmp_path / "a.char.bmes", content)).rows
    assert _spans(row) == [("王小明", "N"), ("京", "L"), ("沪", "L"), ("李四", "N")]


def test_two_spans_side_by_side_stay_two(tmp_path):
    rows = {"tokens": ["a", "b", "c", "d"], "tags": ["B-x", "E-x", "M-x", "E-x"]}
    (row,) = read_tagged_texts(_json_lines(tmp_path, rows)).rows
    assert [text for text, _ in _spans(row)] == ["a b", "c d"]


NUMBERED = {"tokens": ["To", "Lyon"], "ner_tags": [0, 1]}
FEATURES = {"features": {"ner_tags": {"feature": {"names": ["O", "B-place"], "_type": "ClassLabel"}, "_type": "List"}}}


@pytest.mark.parametrize("description", [FEATURES, {"default": FEATURES}])
def test_names_of_numbered_tags_are_found_beside_the_file(tmp_path, description):
    (tmp_path / "dataset_info.json").write_text(json.dumps(description), encoding="utf-8")
    (row,) = read_tagged_texts(_json_lines(tmp_path, NUMBERED)).rows
    assert _spans(row) == [("Lyon", "place")]


def test_names_of_numbered_tags_may_be_given_and_must_suffice(tmp_path):
    path = _json_lines(tmp_path, NUMBERED)
    assert _spans(read_tagged_texts(path, tag_names=["O", "S-place"]).rows[0]) == [("Lyon", "place")]
    with pytest.raises(DataFileError, match="hold 1, but only 0 to 0 have a name"):
        read_tagged_texts(path, tag_names=["O"])
    with pytest.raises(DataFileError, match=r"--tag-names O,B-PER,I-PER.*dataset_info\.json"):
        read_tagged_texts(path)


def test_a_parquet_file_of_the_hub_knows_the_names_of_its_tags(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"tokens": [["To", "Lyon"]], "ner_tags": [[0, 1]]})
    path = tmp_path / "train.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": FEATURES})}), path)
    assert _spans(read_tagged_texts(path).rows[0]) == [("Lyon", "place")]


def test_an_array_of_rows_is_read_like_lines(tmp_path):
    path = _write(tmp_path / "rows.json", json.dumps([GOOD, GOOD], indent=2))
    assert [_spans(row) for row in read_tagged_texts(path).rows] == [[("Lyon", "place")]] * 2


def test_ends_that_include_the_last_character_are_refused_before_training(tmp_path):
    rows = [{"text": f"{name} lives in Ulm", "spans": [[0, len(name) - 1, "N"]]} for name in ("Anna", "Bert", "Clara")]
    with pytest.raises(DataFileError, match=r"3 of 3 spans .* line 1: 'Ann' of 'Anna'; .* add 1 to every end"):
        read_tagged_texts(_json_lines(tmp_path, *rows))


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": "Anna lives in Ulm", "spans": [[0, 4, "N"], [14, 16, "L"]]}],
        [{"text": "unhappy", "spans": [[0, 2, "prefix"]]}, {"text": "undo it", "spans": [[0, 2, "prefix"]]}],
        [{"text": "王小明在京东", "spans": [[0, 2, "N"]]}, {"text": "李小四在上海", "spans": [[0, 2, "N"]]}],
        [{"text": "Anna and Bert", "spans": [[0, 4, "N"], [9, 12, "N"]]}, {"text": "Ann", "spans": [[0, 3, "N"]]}],
    ],
)
def test_spans_that_end_within_a_word_for_another_reason_are_read(tmp_path, rows):
    assert len(read_tagged_texts(_json_lines(tmp_path, *rows)).rows) == len(rows)


def test_a_file_of_another_encoding_is_named(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes("王 B-N\n明 I-N\n\n在 O\n家 O\n".encode("gb18030"))
    with pytest.raises(DataFileError, match=r"GB18030, .*iconv -f GB18030"):
        read_tagged_texts(path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "Lyon", "spans": [[0, 9, "x"]]}, "outside the text, which has 4 characters"),
        ({"text": "Lyon", "spans": [[3, 3, "x"]]}, "outside the text"),
        ({"text": "Lyon", "spans": [[-1, 3, "x"]]}, "outside the text"),
        ({"text": "a  b", "spans": [[1, 3, "x"]]}, "nothing but white space"),
        ({"text": "Lyon", "spans": [[0, 3, "x"], [2, 4, "y"]]}, "overlap"),
        ({"text": "Lyon", "spans": [[0, 3, ""]]}, "no label"),
        ({"text": "Lyon", "spans": [[0, 3]]}, "a span must be"),
        ({"text": "Lyon", "spans": [[0, True, "x"]]}, "a span must be"),
        ({"text": "Lyon", "spans": ["x"]}, "a span must be"),
        ({"text": "Lyon"}, 'no list "spans"'),
        ({"text": " ", "spans": []}, "empty text"),
        ({"text": 3, "spans": []}, "no text"),
        ({"text": "half \ud83d", "spans": []}, "surrogate"),
        ({"tokens": ["a"], "tags": ["O", "O"]}, "of one length"),
        ({"tokens": ["a"], "tags": ["X-x"]}, "X-x"),
        ({"tokens": ["a"], "tags": [1]}, "--tag-names O,B-PER"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "token 2 is empty"),
        ({"tokens": "a", "tags": ["O"]}, "two lists"),
        ({"data": {"text": "To Lyon"}, "annotations": []}, "a task that nobody has annotated"),
        ({"data": {"text": "To Lyon"}, "annotations": [{"was_cancelled": True, "result": []}]}, "nobody has annotated"),
    ],
)
def test_a_bad_json_row_is_set_aside_with_its_line(tmp_path, row, reason):
    found = read_tagged_texts(_json_lines(tmp_path, GOOD, row, GOOD))
    assert len(found.rows) == 2
    assert [(bad.line, reason in bad.reason) for bad in found.rejected] == [(2, True)], found.rejected


@pytest.mark.parametrize(("lines", "reason"), [("a O\nb", "without a tag"), ("a O\nb X-x", "X-x")])
def test_a_bad_sentence_is_set_aside_and_the_others_are_read(tmp_path, lines, reason):
    content = f"ok O\n\n{lines}\n\nfine B-x\n"
    found = read_tagged_texts(_write(tmp_path / "a.conll", content))
    assert [row.text for row in found.rows] == ["ok", "fine"]
    (bad,) = found.rejected
    assert bad.line in (3, 4)
    assert reason in bad.reason


@pytest.mark.parametrize("name", ["a.csv", "nothing.conll", "nothing.jsonl"])
def test_another_kind_of_file_or_none_is_refused(tmp_path, name):
    with pytest.raises(DataFileError):
        read_tagged_texts(tmp_path / name)


def test_a_file_without_sentences_is_refused(tmp_path):
    with pytest.raises(DataFileError):
        read_tagged_texts(_write(tmp_path / "a.conll", "\n\n"))


def _row(text, *labels):
    return TaggedText(text, tuple(LabelledSpan(place, place + 1, label) for place, label in enumerate(labels)))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "at least two texts, found 0"),
        ([_row("one", "x"), _row("one", "x")], "at least two texts, found 1"),
        ([_row("one"), _row("two")], "spans in at least two texts, found 0"),
        ([_row("one", "x"), _row("two")], "found 1 of 2"),
    ],
)
def test_rows_nothing_can_be_learnt_from_are_refused(rows, reason):
    with pytest.raises(TrainingDataError, match=reason):
        check_tagged_texts(rows)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("xyz"))), min_size=2, max_size=12))
def test_a_split_loses_nothing_and_keeps_every_label(pairs):
    rows = [_row(4 * text, *sorted(labels)) for text, labels in pairs]
    try:
        kept, held_out = split_tagged_texts(rows, held_out_share=0.3, seed=1)
    except TrainingDataError:
        return
    assert sorted([*kept, *held_out], key=repr) == sorted(rows, key=repr)
    assert not {row.text for row in kept} & {row.text for row in held_out}
    assert TaggedTexts(kept).labels == TaggedTexts(rows).labels
    assert any(row.spans for row in held_out)


def test_the_hash_depends_on_texts_and_spans():
    hashes = {TaggedTexts([row]).sha256 for row in (_row("one"), _row("one", "x"), _row("one", "y"), _row("two"))}
    assert len(hashes) == 4
