"""Grounding: an answer says only what its passages say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.customer_service.grounding import find_unsupported

PAGES = [
    Document(
        "Kelvo thermostat\n\nThe Kelvo costs $1,119.50 and fits in 38 cities. A licensed technician needs two hours.",
        metadata={"body_start": 18},
    ),
    Document("签收后30天内可以退货，请保留原包装。"),
]


@pytest.mark.parametrize(
    "answer",
    [
        "The Kelvo costs $1,119.50 [1].",
        "It fits in 38 cities. [1] The technician needs two hours. [1]",
        "A technician needs two hours for the Kelvo thermostat.",
        "签收后30天内可以退货。[2]",
    ],
)
def test_what_the_passages_say_is_supported(answer):
    assert find_unsupported(answer, PAGES) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The Kelvo costs $119.50 [1].", "number '119.50'"),
        ("It fits in 3 cities [1].", "number '3'"),
        ("A technician needs three hours [1].", "number 'three'"),
        ("The technician of Voltaro needs two hours [1].", "name 'voltaro'"),
        ("The Kelvo fits. Our chief executive collects old stamps [1].", "most words of 'Our chief"),
        ("The technician needs 38 hours [1].", "number '38'"),
        ("Hours cities Kelvo fits costs thermostat technician [1].", "joins words that stand apart"),
        ("Yes [1].", "too short"),
        ("", "too short"),
        ("签收后90天内可以退货。[2]", "number '90'"),
        ("我们老板喜欢在周末弹钢琴。[2]", "most words"),
    ],
)
def test_what_no_passage_says_is_named(answer, reason):
    assert reason in find_unsupported(answer, PAGES)


FACTS = [
    Document("Denver beat Carolina by 24 points to 10. The match was held in Levi's Stadium in 2016."),
    Document("The Folia costs $120, the Orbis costs $350. There is a fee of $25 for express delivery."),
]


@pytest.mark.parametrize(
    "answer",
    [
        "Denver beat Carolina by 24 points to 10.",
        "The Orbis costs $350.",
        "The fee of $25 is for express delivery.",
        "Denver beat Carolina by 24 points to 10, in Levi's Stadium in 2016.",
    ],
)
def test_facts_may_be_shortened_and_joined(answer):
    assert find_unsupported(answer, FACTS) is None


@pytest.mark.parametrize(
    "answer",
    [
        "Carolina beat Denver by 24 points to 10.",
        "Denver beat Carolina by 10 points to 24.",
        "The Folia costs $350.",
        "The Orbis costs $120.",
        "Orbis beat Carolina by 24 points to 10.",
        "Smithers beat Carolina by 24 points to 10.",
        "Denver beat Folia by 24 points to 10.",
        "There is a fee of $120 for express delivery.",
        "The match was held in Levi's Stadium in 2024.",
        "There is no fee of $25 for express delivery.",
        "Denver never beat Carolina by 24 points to 10.",
    ],
)
def test_facts_that_are_exchanged_or_denied_are_found(answer):
    assert find_unsupported(answer, FACTS) is not None


@given(st.lists(st.integers(1, 99), min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_numbers_in_another_order_are_found(numbers, random):
    names = ["apples", "pears", "plums", "figs"]
    sentence = "We sold {} today."

    def facts(order):
        return sentence.format(", ".join(f"{n} {name}" for n, name in zip(order, names, strict=False)))

    other = random.sample(numbers, len(numbers))
    supported = find_unsupported(facts(other), [Document(facts(numbers))]) is None
    assert supported == (other == numbers)


def test_only_the_passages_given_count():
    assert find_unsupported("It fits in 38 cities.", PAGES[1:])


@given(st.lists(st.sampled_from(PAGES[0].page_content[18:].split(". ")), min_size=1, max_size=3))
def test_a_quote_is_always_supported(sentences):
    assert find_unsupported(". ".join(sentences), PAGES) is None


@given(st.text(max_size=60))
def test_any_text_can_be_checked(answer):
    assert find_unsupported(answer, PAGES) is None or find_unsupported(answer, [])


@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("The case is not waterproof down to ten metres.", "The case is waterproof down to ten metres."),
        ("Opened software cannot be sent back for a refund.", "Opened software can be sent back for a refund."),
    ],
)
def test_what_a_passage_denies_stays_denied(passage, answer):
    assert "leaves out what the passage denies" in find_unsupported(answer, [Document(passage)])
    assert find_unsupported(passage, [Document(passage)]) is None
