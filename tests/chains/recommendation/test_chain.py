import math
from datetime import date, timedelta

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.errors import ChainInputError
from chains.recommendation import RankingOptions, RecommendationOptions, RecommendationRequest, embed_catalogue
from llms.errors import DataFileError
from retrievers.errors import VectorError
from retrievers.interactions import EventKind, Interactions
from retrievers.items import Item, ItemCatalogue
from tests.chains.recommendation.worlds import (
    EMBEDDINGS,
    GROUPS,
    NOW,
    START,
    make_catalogue,
    make_chain,
    make_event,
    make_events,
    make_interactions,
    make_store,
    train_model,
)


def ids(recommendation):
    return [item.id for item in recommendation.items]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_known_user_gets_unused_items_of_their_group_first(interest, number):
    chain = make_chain(interest, options=RecommendationOptions(look_again_days=math.inf))
    used = {event.item for event in make_interactions().history(f"u{number}")}
    found = ids(chain.invoke({"user": f"u{number}", "k": 3}))
    assert all(item.startswith(GROUPS[number]) for item in found)
    assert not used.intersection(found)


def test_a_request_may_be_an_object_or_a_dict(chain):
    assert chain.invoke(RecommendationRequest(user="u1", k=4)) == chain.invoke({"user": "u1", "k": 4})


async def test_invoke_batch_stream_and_async_agree(chain):
    expected = chain.invoke({"user": "u1"})
    assert chain.batch([{"user": "u1"}, {"user": "u2"}])[0] == expected
    assert list(chain.stream({"user": "u1"})) == [expected]
    assert await chain.ainvoke({"user": "u1"}) == expected
    assert [part async for part in chain.astream({"user": "u1"})] == [expected]


def test_two_builds_give_the_same_lists(chain, interest):
    again = make_chain(interest)
    for user in ("u0", "u5", "stranger"):
        assert again.invoke({"user": user}) == chain.invoke({"user": user})


def test_a_stranger_gets_what_is_popular_and_is_called_cold():
    guests = [make_event(f"guest{number}", "music9", day=2.0 * number) for number in range(30)]
    interactions = Interactions([*make_events(), *guests], items=list(make_catalogue()))
    reply = make_chain(train_model(interactions), interactions=interactions).invoke({"user": "stranger", "k": 5})
    assert reply.cold
    assert len(reply.items) == 5
    assert reply.items[0].id == "music9"
    assert reply.items[0].reason.startswith("Popular")


def test_a_newcomers_list_draws_on_popular_and_new_items_only(interest):
    options = RecommendationOptions(num_cold_candidates=1)
    interactions = make_interactions()
    leaders = [max(counts, key=counts.__getitem__) for counts in map(interactions.popularity, (7, 30, None))]
    newest = [item.id for item in make_catalogue().values() if item.created == date(2025, 11, 28)]
    chain = make_chain(interest, options=options, clock=lambda: interactions.now)
    found = ids(chain.invoke({"user": "stranger", "k": 1}))
    assert set(found) <= {*leaders, *newest}


@pytest.mark.parametrize("group", GROUPS)
def test_the_first_events_change_a_strangers_list_at_once(chain, group):
    events = [make_event("stranger", f"{group}{number}", day=61) for number in (0, 1)]
    reply = chain.invoke({"user": "stranger", "events": events, "k": 4})
    assert not reply.cold
    assert all(item.startswith(group) for item in ids(reply))
    assert ids(chain.invoke({"user": "stranger", "k": 4})) != ids(reply)


def test_new_events_outweigh_nothing_but_are_not_kept(chain):
    before = chain.invoke({"user": "u0"})
    chain.invoke({"user": "u0", "events": [make_event("u0", "music1", "buy", day=70)]})
    assert chain.invoke({"user": "u0"}) == before


def test_excluded_items_never_come(chain):
    first = ids(chain.invoke({"user": "u0", "k": 5}))
    assert not set(first).intersection(ids(chain.invoke({"user": "u0", "k": 100, "exclude": first})))


def test_prices_stay_below_the_limit(chain):
    reply = chain.invoke({"user": "u2", "k": 100, "max_price": 15.0})
    assert reply.items
    assert all(make_catalogue()[item].price <= 15 for item in ids(reply))
    assert chain.invoke({"user": "u2", "max_price": 0.5}).items == ()


def test_an_item_without_a_price_is_left_out_under_a_limit(interest):
    items = [item.model_copy(update={"price": None}) for item in make_catalogue().values()]
    chain = make_chain(interest, catalogue=ItemCatalogue(items))
    assert chain.invoke({"user": "u0", "max_price": 99.0}).items == ()
    assert len(chain.invoke({"user": "u0", "k": 3}).items) == 3


def test_more_places_than_items_give_every_allowed_item_once(chain):
    found = ids(chain.invoke({"user": "stranger", "k": 100}))
    assert sorted(found) == sorted(make_catalogue())


def test_what_was_bought_never_comes_back_and_what_was_seen_by_choice(interest):
    history = make_interactions().history("u0")
    bought = {event.item for event in history if event.event is EventKind.BUY}
    seen = {event.item for event in history} - bought
    options = RecommendationOptions(filter_already_seen=False)
    found = set(ids(make_chain(interest, options=options).invoke({"user": "u0", "k": 100})))
    assert seen <= found
    assert not bought & found


def test_scores_are_in_order_without_diversity(interest):
    options = RecommendationOptions(ranking=RankingOptions(diversity=0.0))
    scores = [item.score for item in make_chain(interest, options=options).invoke({"user": "u0", "k": 20}).items]
    assert scores == sorted(scores, reverse=True)


def test_diversity_mixes_the_groups(interest):
    def count_groups(diversity: float) -> int:
        options = RecommendationOptions(ranking=RankingOptions(diversity=diversity))
        found = ids(make_chain(interest, options=options).invoke({"user": "u0", "k": 8}))
        return len({item.rstrip("0123456789") for item in found})

    assert count_groups(0.9) >= count_groups(0.0)
    assert count_groups(0.9) == len(GROUPS)


def test_every_item_has_a_probability_parts_and_a_sentence(chain):
    for item in chain.invoke({"user": "u0", "k": 100}).items:
        assert 0 <= item.parts["interest"] <= 1
        assert set(item.parts) == {"interest", "taste", "collaborative", "popularity", "newness", "price"}
        assert item.reason.endswith(".")
        assert item.title == make_catalogue()[item.id].title


@pytest.mark.parametrize(
    "changes",
    [
        {"exclude": ["garden0", "ghost"]},
        {"exclude": ["garden0"], "events": [make_event("u0", "ghost")]},
        {"exclude": ["garden0", "ghost"], "events": [make_event("u0", "ghost", "buy")]},
    ],
)
def test_items_that_do_not_exist_are_passed_over_and_named(chain, changes):
    reply = chain.invoke({"user": "u0", **changes})
    assert reply.unknown_items == ("ghost",)
    assert reply.items == chain.invoke({"user": "u0", "exclude": ["garden0"]}).items


def test_events_of_another_user_are_refused(chain):
    with pytest.raises(ChainInputError, match="'u1'"):
        chain.invoke({"user": "u0", "events": [make_event("u1", "garden0")]})


@pytest.mark.parametrize(
    "wrong", [{}, {"user": ""}, {"user": "u", "k": 0}, {"user": "u", "k": 101}, {"user": "u", "n": 1}]
)
def test_malformed_requests_are_refused(chain, wrong):
    with pytest.raises(ChainInputError, match="RecommendationRequest"):
        chain.invoke(wrong)


def test_interactions_outside_the_catalogue_are_refused(interest):
    with pytest.raises(DataFileError, match="'ghost'"):
        make_chain(interest, interactions=Interactions([make_event("u0", "ghost")]))


def test_documents_the_catalogue_dropped_are_passed_over(interest):
    store = make_store()
    store.add_documents([Document(id="ghost", page_content="garden garden thing")])
    assert "ghost" not in ids(make_chain(interest, store=store).invoke({"user": "u0", "k": 100}))


class CountingEmbeddings(Embeddings):
    def __init__(self, factor=1.0):
        self.num_calls = 0
        self.factor = factor

    def embed_documents(self, texts):
        self.num_calls += 1
        return (np.array(EMBEDDINGS.embed_documents(texts)) * self.factor).tolist()

    def embed_query(self, text):
        raise NotImplementedError


def test_items_are_embedded_in_one_call_at_build_time(interest):
    counting = CountingEmbeddings()
    chain = make_chain(interest, embeddings=counting)
    chain.batch([{"user": "u0"}, {"user": "u1"}])
    assert counting.num_calls == 1


@pytest.mark.parametrize("factor", [0.0, float("nan")])
def test_vectors_that_mean_nothing_are_refused(factor):
    with pytest.raises(VectorError, match="NaN"):
        embed_catalogue(make_catalogue(), CountingEmbeddings(factor))


def test_an_empty_catalogue_is_refused():
    with pytest.raises(VectorError, match="0 items"):
        embed_catalogue(ItemCatalogue([]), EMBEDDINGS)


def with_item(**fields):
    """The catalogue with one more item, like those of the group garden."""
    like = make_catalogue()["garden9"].model_dump()
    return ItemCatalogue([*make_catalogue().values(), Item(**like | {"id": "late", "title": "Late thing"} | fields)])


def make_dated_chain(interest, day, *, clock=None, options=None, **fields):
    catalogue = with_item(**fields)
    interactions = Interactions(make_events(), items=list(catalogue))
    store = make_store()
    store.add_documents([catalogue["late"].to_document()])
    parts = {"catalogue": catalogue, "interactions": interactions, "store": store}
    parts |= {"options": options} if options else {}
    return make_chain(interest, clock=clock or (lambda: START + timedelta(days=day)), **parts)


PUSH_NEW = RecommendationOptions(ranking=RankingOptions(diversity=0.0, newness_weight=100.0))


def test_an_item_made_after_the_last_event_is_new(interest):
    chain = make_dated_chain(interest, 75, created=START.date() + timedelta(days=74), options=PUSH_NEW)
    (first,) = chain.invoke({"user": "stranger", "k": 1}).items
    assert (first.id, first.reason[:3]) == ("late", "New")


@pytest.mark.parametrize("field", ["created", "available_from"])
def test_what_is_dated_ahead_of_the_clock_waits_for_its_day(interest, field):
    day = {field: START.date() + timedelta(days=100)}
    assert "late" not in ids(make_dated_chain(interest, 99, **day).invoke({"user": "u0", "k": 100}))
    assert "late" in ids(make_dated_chain(interest, 100, **day).invoke({"user": "u0", "k": 100}))


def test_a_chain_that_runs_on_sees_the_days_go_by(interest):
    moment = [START + timedelta(days=99)]
    chain = make_dated_chain(interest, 0, available_from=START.date() + timedelta(days=100), clock=lambda: moment[0])
    assert "late" not in ids(chain.invoke({"user": "u0", "k": 100}))
    moment[0] += timedelta(days=1)
    assert "late" in ids(chain.invoke({"user": "u0", "k": 100}))


@pytest.mark.parametrize(("day", "is_said"), [(58, True), (300, False)])
def test_popular_this_week_is_said_of_this_week_only(day, is_said):
    guests = [make_event(f"guest{number}", "music9", day=2.0 * number) for number in range(30)]
    interactions = Interactions([*make_events(), *guests], items=list(make_catalogue()))
    chain = make_chain(train_model(interactions), interactions=interactions, clock=lambda: START + timedelta(days=day))
    reasons = [item.reason for item in chain.invoke({"user": "stranger", "k": 100}).items]
    assert any("opular this week" in reason for reason in reasons) == is_said
    assert any("opular in the last" in reason for reason in reasons) <= is_said
    assert is_said or any("opular over all time" in reason for reason in reasons)


def test_an_event_dated_ten_years_ahead_is_set_aside_and_counted(chain):
    ahead = {**make_event("u0", "music1", "view").model_dump(), "time": NOW + timedelta(days=3650)}
    reply = chain.invoke({"user": "u0", "events": [ahead]})
    assert reply.num_future_events == 1
    assert reply.items == chain.invoke({"user": "u0"}).items


@pytest.mark.parametrize(("minutes", "counts"), [(-1, True), (9, True), (11, False)])
def test_a_clock_a_little_fast_loses_no_event(chain, minutes, counts):
    event = {**make_event("stranger", "music1", "buy").model_dump(), "time": NOW + timedelta(minutes=minutes)}
    reply = chain.invoke({"user": "stranger", "events": [event]})
    assert reply.cold != counts
    assert reply.num_future_events == (not counts)


def test_an_event_sent_five_times_counts_once(chain):
    events = [make_event("stranger", f"music{at}", day=60) for at in (1, 2)]
    once = chain.invoke({"user": "stranger", "events": events})
    assert chain.invoke({"user": "stranger", "events": [*events[::-1], *events * 4]}) == once


@pytest.mark.parametrize("stock", [0, 1, None])
def test_what_is_out_of_stock_is_not_offered(interest, stock):
    reply = make_dated_chain(interest, 62, stock=stock).invoke({"user": "u0", "k": 100})
    assert ("late" in ids(reply)) == (stock != 0)


def test_nothing_in_stock_gives_an_empty_list(interest):
    items = [item.model_copy(update={"stock": 0}) for item in make_catalogue().values()]
    assert make_chain(interest, catalogue=ItemCatalogue(items)).invoke({"user": "u0"}).items == ()


@pytest.mark.parametrize(("day", "comes"), [(1, False), (6.9, False), (7.1, True)])
def test_what_was_looked_at_comes_again_after_a_week(interest, day, comes):
    chain = make_chain(interest, clock=lambda: START + timedelta(days=60 + day))
    events = [make_event("stranger", "garden1", "view", day=60)]
    assert ("garden1" in ids(chain.invoke({"user": "stranger", "k": 100, "events": events}))) == comes


@pytest.mark.parametrize("kind", ["buy", "hide", "dislike"])
def test_what_was_bought_or_is_not_wanted_never_comes_again(interest, kind):
    chain = make_chain(interest, clock=lambda: START + timedelta(days=3000))
    events = [make_event("stranger", "garden1", kind, day=60)]
    found = ids(chain.invoke({"user": "stranger", "k": 100, "events": events}))
    assert len(found) == len(make_catalogue()) - 1
    assert "garden1" not in found


def test_what_is_disliked_turns_the_list_away_and_what_is_hidden_or_shown_does_not(chain):
    seen = [make_event("stranger", "music1", day=61), make_event("stranger", "garden1", day=61)]

    def count_garden(*events):
        found = ids(chain.invoke({"user": "stranger", "k": 8, "events": [*seen, *events]}))
        return sum(item.startswith("garden") for item in found)

    other = [make_event("stranger", f"garden{at}", "dislike", day=61.5) for at in (2, 3)]
    assert count_garden(*other) < count_garden()
    for kind in ("show", "hide"):
        events = [make_event("stranger", "kitchen2", kind, day=61.5)]
        assert chain.invoke({"user": "stranger", "events": events}).cold
    shown = make_event("stranger", "garden9", "show", day=61.5)
    assert count_garden(shown) == count_garden()


def test_a_bad_comment_speaks_against_what_it_is_about(chain):
    def find_score(opinion):
        event = make_event("stranger", "garden1", "comment", day=61).model_copy(update={"opinion": opinion})
        reply = chain.invoke({"user": "stranger", "k": 100, "events": [event]})
        return next(item.parts["taste"] for item in reply.items if item.id == "garden2")

    assert find_score(-1.0) < find_score(0.5)
    assert find_score(1.0) == find_score(None)


def test_no_item_is_offered_for_being_like_itself(interest):
    chain = make_chain(interest, clock=lambda: START + timedelta(days=70))
    events = [make_event("stranger", "garden1", "view", day=60)]
    (again,) = [
        item for item in chain.invoke({"user": "stranger", "k": 100, "events": events}).items if item.id == "garden1"
    ]
    assert again.title not in again.reason
