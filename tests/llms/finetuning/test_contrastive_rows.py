"""Training rows of embeddings: no answer is ever a negative, and near misses are used."""

import dataclasses

from llms import LocalEmbeddings
from llms.finetuning.data.pair_relations import KnownPositives
from llms.finetuning.data.pairs import TextPair, TextPairs
from llms.finetuning.embeddings import training as embeddings_training
from llms.finetuning.embeddings.data import ContrastiveExample, ContrastiveRows, prepare_rows, with_hard_negatives
from llms.finetuning.embeddings.evaluation import evaluator_of_labels, evaluator_of_pairs
from llms.finetuning.embeddings.options import EmbeddingsOptions

PAIRS = TextPairs([TextPair(f"where is my {word}", f"the {word} is back") for word in "abcdefghijklmnopqrst"])


def test_documents_that_answer_a_query_are_masked_in_its_batch(encoder_folder):
    pairs = [TextPair("q", "a"), TextPair("q", "b"), TextPair("p", "A "), TextPair("r", "c")]
    examples = [ContrastiveExample(query=pair.query, document=pair.document) for pair in pairs]
    examples[3] = dataclasses.replace(examples[3], hard_negatives=("B", "r"))
    rows = ContrastiveRows(examples=examples, loss="ranking", known=KnownPositives.from_pairs(pairs))
    model = LocalEmbeddings(encoder_folder)._encoder.model
    excluded = embeddings_training._Collator(model, rows)(examples)["excluded"].int().tolist()
    #  a  b  A  c  B  r
    assert excluded == [
        [0, 1, 1, 0, 1, 0],  # q is answered by a and b
        [1, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 0, 0],  # p by a alone
        [0, 0, 0, 0, 0, 1],  # and r is no answer to itself, but no negative either
    ]


def test_pairs_with_a_low_score_are_hard_negatives():
    rows = [TextPair(f"q{i}", f"d{i}", score=1.0) for i in range(8)]
    rows += [TextPair(f"q{i}", f"wrong{i}", score=0.0) for i in range(8)]
    prepared, evaluator = prepare_rows(TextPairs(rows), EmbeddingsOptions())
    assert prepared.loss == "ranking"
    assert all(row.hard_negatives == (f"wrong{row.query[1:]}",) for row in prepared.examples)
    assert evaluator.metric == "mrr_at_10"


def test_mined_negatives_are_near_and_no_answers(encoder_folder):
    known = KnownPositives.from_pairs(PAIRS.rows)
    examples = [ContrastiveExample(query=row.query, document=row.document) for row in PAIRS.rows]
    rows = ContrastiveRows(examples=examples, loss="ranking", known=known)
    encoder = LocalEmbeddings(encoder_folder, device="cpu", precision="float32")._encoder
    options = EmbeddingsOptions(hard_negatives=2, max_negative_similarity=0.9, show_progress=False)
    mined = with_hard_negatives(rows, encoder, options).examples
    assert any(len(row.hard_negatives) == 2 for row in mined)
    documents = encoder.encode([row.document for row in PAIRS.rows], role="document")
    for row in mined[:10]:
        query = encoder.encode([row.query], role="query")[0]
        mean = (documents @ query).mean()  # shares of a cosine count from there
        own, *others = encoder.encode([row.document, *row.hard_negatives], role="document") @ query - mean
        assert all(other <= 0.9 * own + 1e-5 for other in others)
        assert not any(known.covers(row.query, text) for text in row.hard_negatives)


def test_held_out_queries_are_ranked_among_all_documents():
    kept, held_out = PAIRS.rows[2:], [*PAIRS.rows[:2], TextPair("where is my a", "second answer")]
    evaluator = evaluator_of_pairs(held_out, kept, KnownPositives.from_pairs([*kept, *held_out]), seed=0)
    assert evaluator.relevant.shape == (2, 21)
    assert evaluator.relevant.sum(axis=1).tolist() == [2, 1]
    assert sorted(text.row for text in evaluator.texts) == list(range(23))


def test_a_text_is_not_ranked_for_itself():
    rows = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")]
    evaluator = evaluator_of_labels(rows[:1], [*rows[1:], ("A", "x")], seed=0)
    texts = [text.text for text in sorted(evaluator.texts, key=lambda text: text.row)[1:]]
    found = dict(
        zip(texts, zip(evaluator.relevant[0].tolist(), evaluator.hidden[0].tolist(), strict=True), strict=True)
    )
    assert found["a"] == found["A"] == (False, True)
    assert found["b"] == (True, False)
    assert found["c"] == (False, False)
