"""Whether an answer says only what its passages say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.customer_service.grounding import find_unsupported

PAGES = [
    Document(
        "Kelvo thermostat\n\nThe Kelvo costs $1,119.50 and fits in 38 cities. A licensed technician needs two hours."
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
        ("The technician of Voltaro needs two hours [1].", "name 'Voltaro'"),
        ("The Kelvo fits. Our chief executive collects old stamps [1].", "most words of 'Our chief"),
        ("The technician needs 38 hours [1].", "number '38' stands beside other words"),
        ("Hours cities Kelvo fits costs thermostat technician [1].", "joins words that stand apart"),
        ("Yes [1].", "too short"),
        ("", "too short"),
        ("签收后90天内可以退货。[2]", "number '90'"),
        ("我们老板喜欢在周末弹钢琴。[2]", "most words"),
    ],
)
def test_what_no_passage_says_is_named(answer, reason):
    assert reason in find_unsupported(answer, PAGES)


def test_only_the_passages_given_count():
    assert find_unsupported("It fits in 38 cities.", PAGES[1:])


@given(st.lists(st.sampled_from(PAGES[0].page_content.split(". ")), min_size=1, max_size=3))
def test_a_quote_is_always_supported(sentences):
    assert find_unsupported(". ".join(sentences), PAGES) is None


@given(st.text(max_size=60))
def test_any_text_can_be_checked(answer):
    assert find_unsupported(answer, PAGES) is None or find_unsupported(answer, [])
