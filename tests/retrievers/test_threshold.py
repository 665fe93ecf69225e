"""A least relevance from labelled questions; values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retrievers import FaissStore, HybridRetriever
from retrievers.errors import ThresholdError
from retrievers.threshold import LabelledQuestion, fit_min_relevance


class TableRetriever(BaseRetriever):
    """Finds the document and the relevance that a table names for the question; nothing for other questions."""

    table: dict

    def _get_relevant_documents(self, query, *, run_manager):
        if query not in self.table:
            return []
        id_, relevance = self.table[query]
        return [Document(id=id_, page_content="text", metadata={"relevance": relevance, "source": f"{id_}.md"})]


def _case(rows):
    """Return a retriever and labels for rows of (relevance, is right)."""
    table = {f"q{number}": ("right", relevance) for number, (relevance, _) in enumerate(rows)}
    questions = [
        LabelledQuestion(f"q{number}", "right" if is_right else None) for number, (_, is_right) in enumerate(rows)
    ]
    return TableRetriever(table=table), questions


def test_the_lowest_relevance_that_is_precise_enough_is_found():
    # 1.0: 1/1 ... 0.7: 4/4, 0.6: 4/5 = 80 %, 0.5: 5/6 = 83 %, 0.4: 5/7 = 71 %
    rows = [(1.0, True), (0.9, True), (0.8, True), (0.7, True), (0.6, False), (0.5, True), (0.4, False)]
    fitted = fit_min_relevance(*_case(rows), precision=0.8)
    assert (fitted.min_relevance, fitted.num_answered, fitted.num_questions) == (0.5, 6, 7)
    assert fitted.precision == pytest.approx(5 / 6)
    assert fitted.coverage == pytest.approx(6 / 7)


def test_the_bound_is_that_of_clopper_and_pearson():
    # 18 right of 20: the root of P(X >= 18 | n = 20, p) = 0.05
    rows = [(0.9, True)] * 18 + [(0.9, False)] * 2
    assert fit_min_relevance(*_case(rows), precision=0.9).precision_lower_bound == pytest.approx(0.7174, abs=1e-4)


def test_equal_relevances_are_answered_together_or_not_at_all():
    rows = [(0.9, True)] * 5 + [(0.5, True)] + [(0.5, False)] * 3
    assert fit_min_relevance(*_case(rows), precision=0.8).min_relevance == 0.9


def test_a_question_that_finds_nothing_is_not_answered():
    retriever, questions = _case([(0.9, True)] * 5 + [(0.3, False)] * 5)
    fitted = fit_min_relevance(retriever, [*questions, LabelledQuestion("unknown", None)], precision=0.8)
    assert (fitted.num_answered, fitted.num_questions) == (5, 11)


def test_documents_can_be_told_by_a_metadata_field():
    retriever, questions = _case([(0.9, True)] * 5 + [(0.3, False)] * 5)
    by_source = [LabelledQuestion(question.text, question.document_id and "right.md") for question in questions]
    assert fit_min_relevance(retriever, by_source, precision=0.8, id_field="source").min_relevance == 0.9
    with pytest.raises(ThresholdError, match="labels name documents"):
        fit_min_relevance(retriever, by_source, precision=0.8)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least 5 questions with a right document, got 0"),
        ([(0.9, True)] * 4 + [(0.1, False)] * 9, "at least 5 questions with a right document, got 4"),
        ([(0.9, True)] * 9, "nothing shows where wrong answers begin"),
        ([(0.9, True)] * 5 + [(0.9, False)] * 5, "at most 0.500 are"),
    ],
)
def test_labels_that_cannot_tell_are_refused(rows, message):
    with pytest.raises(ThresholdError, match=message):
        fit_min_relevance(*_case(rows), precision=0.8)


def test_a_threshold_never_rests_on_fewer_answers_than_its_precision_needs():
    rows = [(0.9, True)] * 3 + [(0.5, False)] * 4 + [(0.4, True)] * 3
    with pytest.raises(ThresholdError, match="at least 5 answers"):
        fit_min_relevance(*_case(rows), precision=0.8)


def test_nothing_found_at_all_is_refused():
    questions = [LabelledQuestion(f"q{number}", "right") for number in range(9)]
    with pytest.raises(ThresholdError, match="nothing was found"):
        fit_min_relevance(TableRetriever(table={}), questions, precision=0.8)


def test_a_retriever_without_relevance_is_refused():
    retriever, questions = _case([(None, True)] * 9)
    with pytest.raises(ThresholdError, match="without a relevance"):
        fit_min_relevance(retriever, questions, precision=0.8)


def test_a_retriever_that_already_leaves_documents_out_is_refused(store):
    retriever = HybridRetriever(store=store, min_relevance=0.5)
    with pytest.raises(ThresholdError, match="min_relevance=None"):
        fit_min_relevance(retriever, [LabelledQuestion("red shoes", "shoe")])


@pytest.mark.parametrize("option", [{"precision": 1.0}, {"precision": 0.0}, {"confidence": 1.0}])
def test_shares_that_cannot_be_meant_are_refused(option):
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_min_relevance(*_case([(0.9, True)] * 9), **option)


@given(st.lists(st.tuples(st.integers(0, 5).map(lambda value: value / 5), st.booleans()), min_size=5, max_size=40))
def test_what_is_returned_holds_and_no_lower_relevance_does(rows):
    try:
        fitted = fit_min_relevance(*_case(rows), precision=0.75)
    except ThresholdError:
        return
    for threshold in {relevance for relevance, _ in rows}:
        answered = [is_right for relevance, is_right in rows if relevance >= threshold]
        holds = sum(answered) >= 0.75 * len(answered) and len(answered) >= 4
        assert not (holds and threshold < fitted.min_relevance)
        if threshold == fitted.min_relevance:
            assert holds
            assert fitted.num_answered == len(answered)
    assert fitted.precision_lower_bound <= fitted.precision


def test_it_works_on_a_hybrid_retriever(embedding):
    store = FaissStore(embedding=embedding)
    store.add_texts([f"page about topic{number}" for number in range(10)], ids=[str(number) for number in range(10)])
    right = [LabelledQuestion(f"tell me about topic{number}", str(number)) for number in range(10)]
    others = [LabelledQuestion(f"what is the weather in city{number}", None) for number in range(10)]
    fitted = fit_min_relevance(HybridRetriever(store=store), right + others, precision=0.9)
    strict = HybridRetriever(store=store, min_relevance=fitted.min_relevance)
    assert sum(bool(found) for found in strict.batch([question.text for question in others])) <= 1
    assert sum(bool(found) for found in strict.batch([question.text for question in right])) >= 9
