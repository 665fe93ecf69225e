"""Pairs are read with their faults named, contradict nobody, and are split so that nothing leaks."""

import json

import pytest

from llms.errors import DataFileError, TrainingDataError
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.data.hard_negatives import pick_negatives
from llms.finetuning.data.pair_relations import KnownPositives, merge_pairs, same_text, split_pairs
from llms.finetuning.data.pairs import TextPair, TextPairs, pairs_from_labels, read_pairs

ROWS = [TextPair(f"q{i}", f"d{i}") for i in range(20)]


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_has_queries_documents_and_negatives(tmp_path):
    path = _write(tmp_path / "a.csv", "query,document,negative,negative_2,negative_1\nq,d,n,n2,n1\np,e,,,m\n")
    pairs = read_pairs(path)
    assert pairs.rows == [TextPair("q", "d", ("n", "n1", "n2")), TextPair("p", "e", ("m",))]
    assert [row.line for row in pairs.rows] == [2, 3]


def test_negatives_may_be_a_list(tmp_path):
    rows = [{"query": "q", "document": "d", "negative": ["a", "b"]}, {"query": "p", "document": "e"}]
    jsonl = read_pairs(_write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))
    csv = read_pairs(_write(tmp_path / "a.csv", 'query,document,negative\nq,d,"[""a"", ""b""]"\np,e,[sic] no list\n'))
    assert [row.hard_negatives for row in jsonl.rows] == [("a", "b"), ()]
    assert [row.hard_negatives for row in csv.rows] == [("a", "b"), ("[sic] no list",)]


def test_triplets_are_read_by_the_names_of_their_columns(tmp_path):
    path = _write(tmp_path / "a.csv", "anchor,positive,negative\nq,d,n\n")
    assert read_pairs(path, query_column="anchor", document_column="positive").rows == [TextPair("q", "d", ("n",))]


def test_parquet_is_read_too(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"query": ["q", "p"], "document": ["d", "e"], "negative": [["a"], None], "score": [1.0, 0.0]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_pairs(tmp_path / "a.parquet").rows == [
        TextPair("q", "d", ("a",), score=1.0),
        TextPair("p", "e", score=0.0),
    ]


@pytest.mark.parametrize("name", ["score", "label"])
def test_scores_are_found_by_their_usual_names(tmp_path, name):
    path = _write(tmp_path / "a.csv", f"query,document,{name}\nq,d,1\np,e,0.25\n")
    assert [row.score for row in read_pairs(path).rows] == [1.0, 0.25]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",d,", "empty query"),
        ("q, ,", "empty document"),
        ("q,d,1.5", "score: '1.5' is no number from 0 to 1"),
        ("q,d,yes", "score: 'yes' is no number from 0 to 1"),
        ("q,d,nan", "score: 'nan' is no number from 0 to 1"),
        ("q,d", "2 cells where the header has 3"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_line(tmp_path, row, reason):
    path = _write(tmp_path / "a.csv", f"query,document,score\nq,d,1\n{row}\np,e,0\n")
    pairs = read_pairs(path)
    assert len(pairs.rows) == 2
    assert pairs.rejected[0].line == 3
    assert pairs.rejected[0].reason.startswith(reason)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(DataFileError, match="'document' is needed"):
        read_pairs(_write(tmp_path / "a.csv", "query,answer\nq,d\n"))


def test_a_pair_refuses_what_cannot_be_meant():
    with pytest.raises(TrainingDataError, match="between 0 and 1, got 2"):
        TextPair("q", "d", score=2)
    with pytest.raises(TrainingDataError, match="must be a tuple"):
        TextPair("q", "d", "n")


def test_the_hash_follows_texts_scores_and_groups():
    hashes = {TextPairs([row]).sha256 for row in (TextPair("q", "d"), TextPair("q", "d", score=1.0))}
    hashes |= {TextPairs([row]).sha256 for row in (TextPair("q", "d", ("n",)), TextPair("q", "d", group="g"))}
    assert len(hashes) == 4


def test_repeated_pairs_become_one_with_all_their_negatives():
    merged = merge_pairs([*ROWS, TextPair(" Q1", "D1 ", ("n",)), TextPair("q1", "d1", ("m",))])
    assert len(merged) == len(ROWS)
    assert merged[1].hard_negatives == ("n", "m")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([*ROWS, TextPair("q1", "d1", score=0.0, line=7)], "line 7: a pair has the scores 1 and 0"),
        ([*ROWS, TextPair("q1", "x", ("D1",))], "both an answer and a hard negative"),
        ([TextPair(row.query, row.query) for row in ROWS], "its own query"),
        (ROWS[:3], "at least 4 different queries with a document are needed, found 3"),
        ([TextPair(row.query, row.document, score=0.0) for row in ROWS], "found 0"),
        ([], "found 0"),
    ],
)
def test_pairs_nothing_can_be_learnt_from_are_refused(rows, reason):
    with pytest.raises(TrainingDataError, match=reason):
        merge_pairs(rows)


def test_scores_of_one_pair_that_differ_a_little_become_their_mean():
    merged = merge_pairs([*ROWS, TextPair("a", "b", score=0.4), TextPair("a", "b", score=0.6)])
    assert merged[-1].score == pytest.approx(0.5)


def test_held_out_queries_documents_and_groups_are_on_one_side():
    pairs = [TextPair(f"q{i}", f"d{i // 2}") for i in range(20)]
    pairs += [TextPair(f"p{i}", f"e{i}", group=f"g{i // 3}") for i in range(12)]
    kept, held_out = split_pairs(pairs, held_out_share=0.2, seed=1)
    for name in ("query", "document"):
        assert not {getattr(pair, name) for pair in kept} & {getattr(pair, name) for pair in held_out}
    assert not ({pair.group for pair in kept} & {pair.group for pair in held_out}) - {None}
    assert len(kept) + len(held_out) == len(pairs)
    assert 4 <= len(held_out) <= 7


def test_the_split_follows_seed_and_content_not_order():
    one, other = (split_pairs(rows, held_out_share=0.2, seed=3)[1] for rows in (ROWS, ROWS[::-1]))
    assert {pair.query for pair in one} == {pair.query for pair in other}
    assert {pair.query for pair in split_pairs(ROWS, held_out_share=0.2, seed=4)[1]} != {pair.query for pair in one}


def test_documents_that_tie_everything_together_do_not_prevent_a_split():
    pairs = [TextPair(f"q{i}", f"d{i % 2}") for i in range(10)] + [TextPair("q0", "d1")]
    kept, held_out = split_pairs(pairs, held_out_share=0.2, seed=0)
    assert not {pair.query for pair in kept} & {pair.query for pair in held_out}
    with pytest.raises(TrainingDataError, match="all hang together"):
        split_pairs([TextPair(f"q{i}", "d", group="g") for i in range(9)], held_out_share=0.2, seed=0)


def test_documents_of_one_group_answer_each_others_queries():
    known = KnownPositives.from_pairs(
        [TextPair("q", "a", group="g"), TextPair("p", "b", group="g"), TextPair("r", "c")]
    )
    assert known.covers("q", "b")
    assert known.covers("q", "Q ")
    assert not known.covers("q", "c")
    assert not known.covers("r", "a")


def test_labels_become_pairs_of_different_texts():
    rows = [LabelledText(f"{label} {i}", label) for label in "abc" for i in range(5)] + [LabelledText("x", "single")]
    pairs = pairs_from_labels(rows, seed=2).rows
    assert len(pairs) == 15
    assert all(pair.query[0] == pair.document[0] == pair.group and pair.query != pair.document for pair in pairs)
    assert sorted(pair.document for pair in pairs) == sorted(row.text for row in rows[:-1])
    assert pairs == pairs_from_labels(rows, seed=2).rows != pairs_from_labels(rows, seed=3).rows


def test_picked_negatives_are_never_answers():
    known = KnownPositives.from_pairs([*ROWS, TextPair("q1", "d2")])
    pool = [row.document for row in ROWS]
    picked = pick_negatives("q1", ["D1", "d2", "d3", "D3"], pool, known, count=18, seed=0)
    assert picked[0] == "d3"
    assert {same_text(text) for text in picked} == {f"d{i}" for i in range(20)} - {"d1", "d2"}
    assert pick_negatives("q1", [], pool, known, count=3, seed=0) == pick_negatives(
        "q1", [], pool, known, count=3, seed=0
    )
