"""Groups of requests and their drafts: what belongs together, which answers worked, what everybody may read."""

from datetime import timedelta

import numpy as np
import pytest

from chains.customer_service.learning import (
    GroupingOptions,
    GroupNames,
    draft_group,
    draft_template,
    find_outcomes,
    group_requests,
    rank_answers,
    split_paths,
    unused_name,
)
from llms.errors import OptionValueError
from retrievers import nearest_rows
from tests.chains.customer_service.learning.logs import START, TopicEmbeddings, ask

PARCEL = [f"where is my parcel {word}".strip() for word in ("", "now", "please", "today", "again", "friends")]
REFUND = [f"refund the money {word}".strip() for word in ("", "now", "please", "today", "again", "friends")]
EMBEDDINGS = TopicEmbeddings()


def requests_of(*texts, customers=True):
    return [ask(text, number=number, customer=f"c{number}" if customers else "c") for number, text in enumerate(texts)]


def texts_of(groups):
    return [sorted(request.text for request in group.requests) for group in groups]


def test_requests_that_ask_for_the_same_are_one_group_and_rare_ones_in_none():
    groups = group_requests(requests_of(*PARCEL, *REFUND, "do lighthouses have stairs"), embeddings=EMBEDDINGS)
    assert sorted(texts_of(groups)) == sorted([sorted(PARCEL), sorted(REFUND)])
    assert all(0 <= group.confidence <= 1 for group in groups)


def test_copies_are_counted_and_embedded_once():
    seen = []

    class Counting(TopicEmbeddings):
        def embed_documents(self, texts):
            seen.extend(texts)
            return super().embed_documents(texts)

    groups = group_requests(requests_of(*PARCEL, "Where is my PARCEL?", *REFUND), embeddings=Counting())
    assert len(seen) == len(PARCEL) + len(REFUND)
    assert len(groups[0].requests) == len(PARCEL) + 1


def test_what_one_customer_asks_again_and_again_is_about_them():
    assert group_requests(requests_of(*PARCEL, *REFUND, customers=False), embeddings=EMBEDDINGS) == []


@pytest.mark.parametrize("texts", [[], ["only one"], ["same"] * 5])
def test_few_texts_are_grouped_too(texts):
    groups = group_requests(requests_of(*texts), embeddings=EMBEDDINGS)
    assert sum(len(group.requests) for group in groups) == (5 if len(texts) == 5 else 0)


def test_a_group_is_taken_apart_into_what_is_most_different():
    parcels, refunds = EMBEDDINGS.embed_documents(PARCEL), EMBEDDINGS.embed_documents(REFUND)
    paths = split_paths(np.array(parcels + refunds, dtype=np.float32))
    first = [path[0] for path in paths]
    assert len(set(first[:6])) == len(set(first[6:])) == 1
    assert first[0] != first[6]
    assert split_paths(np.ones((3, 2), dtype=np.float32)) == [""] * 3


@pytest.mark.parametrize(
    "values", [{"max_resolution": 0.5}, {"max_resolution": float("nan")}, {"max_neighbours": 0}, {"min_requests": 0}]
)
def test_options_that_cannot_be_meant_are_refused(values):
    with pytest.raises(OptionValueError):
        GroupingOptions(**values)


def test_nearest_rows_never_find_themselves():
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    cosines, rows = nearest_rows(vectors, 2)
    assert all(place not in found for place, found in enumerate(rows.tolist()))
    assert cosines[0].tolist() == [1.0, 1.0]
    assert nearest_rows(vectors[:1], 3)[1].shape == (1, 0)
    assert nearest_rows(vectors, 9)[1].shape == (5, 4)


# --- answers


def test_answers_are_ranked_by_how_often_and_how_well_they_worked():
    often, seldom = "Order {order_number} comes on Monday.", "Please look at the page of the carrier."
    bad, again = "Wait longer, all of you.", "Hello! Order {order_number} comes on Monday"
    given = [*[(often, True)] * 4, (again, True), (seldom, True), *[(bad, False)] * 5]
    requests = [ask("where", answer, number=n, is_resolved=worked) for n, (answer, worked) in enumerate(given)]
    ranked = rank_answers(requests, find_outcomes(requests, {}))
    assert [answer.text for answer in ranked] == [often, seldom, bad]
    assert [answer.count for answer in ranked] == [5, 1, 5]
    assert [answer.worked for answer in ranked] == [1.0, 1.0, 0.0]


def test_a_customer_who_asks_again_within_three_days_was_not_helped():
    def at(days, number, customer="anna"):
        return ask("where", number=number, customer=customer, time=START + timedelta(days=days))

    requests = [at(0, 0), at(2, 1), at(9, 2), at(9.5, 3, "ben"), at(10, 4)]
    outcomes = find_outcomes(requests, dict.fromkeys(("k0", "k1", "k2", "k3"), 0) | {"k4": 1})
    assert outcomes == {"k0": 0.0, "k1": 1.0, "k2": 1.0, "k3": 1.0, "k4": 1.0}


def test_nothing_is_known_without_a_rating_a_state_or_a_customer():
    requests = [ask("where", "Here it is, at home.", number=0), ask("where", number=1, rating=-1.0, is_resolved=True)]
    assert find_outcomes(requests, {"k0": 0, "k1": 0}) == {"k0": None, "k1": 0.5}
    assert rank_answers(requests, {"k0": None})[0].worked is None


@pytest.mark.parametrize(
    ("answer", "template"),
    [
        ("Order {order_number} is on its way.", "Order {order_number} is on its way."),
        ("Dear {name}. It comes tomorrow. We wrote to {email}.", "It comes tomorrow."),
        ("We wrote to {email}.", ""),
        ("Use {curly} braces } and {", ""),
        ("Press } to go on. Then {", "Press ) to go on. Then ("),
        ("{name}您好。订单{order_number}明天到。请查收。", "订单{order_number}明天到。请查收。"),
    ],
)
def test_a_template_holds_slots_and_nobodys_data(answer, template):
    assert draft_template(answer, ["order_number"]) == template


def test_a_draft_says_what_a_person_has_to_know():
    requests = [
        ask("where is my parcel", "It is on its way to you.", number=0, customer="a", rating=1.0),
        ask("Where is my parcel?", "It is on its way to you.", number=1, customer="a"),
        ask("parcel is late", number=2),
    ]
    names = GroupNames([[request.text for request in requests], REFUND])
    draft = draft_group(requests, names=names, confidence=0.81234, outcomes=find_outcomes(requests, {}))
    assert draft.name.startswith("parcel")
    assert draft.wordings == ("where is my parcel", "parcel is late")
    assert draft.template == "It is on its way to you."
    assert (draft.num_requests, draft.num_customers, draft.confidence) == (3, 2, 0.812)


# --- names


def test_names_are_words_that_tell_groups_apart_in_both_languages():
    english = [["can you engrave the case", "engraving on my case"], ["the case is late", "parcel late"], REFUND]
    names = GroupNames(english)
    assert names.name(english[2]).startswith("refund_money")
    chinese = [["充电盒可以刻字吗", "刻字多少钱"], ["维修怎么预约", "预约维修"], ["备用机押金", "备用机怎么借"]]
    names = GroupNames(chinese)
    found = [names.name(group) for group in chinese]
    assert [word in name for word, name in zip(("刻字", "维修", "备用"), found, strict=True)] == [True] * 3


def test_a_group_without_words_has_a_name_all_the_same():
    assert GroupNames([["1234", "{order_number}"]]).name(["1234"]) == "unnamed"
    assert unused_name("unnamed", ["unnamed", "unnamed_2"]) == "unnamed_3"
