"""Stop texts, however the text around them is cut into pieces."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llms.chat.streaming import StopFilter

_texts = st.text(alphabet="ab", max_size=14)  # two letters, so that beginnings of stop texts are everywhere
_stops = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)


@given(text=_texts, stops=_stops, cuts=st.lists(st.integers(0, 14)))
def test_what_is_shown_is_what_stands_before_the_first_stop_text(text, stops, cuts):
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(borders)]
    stop_filter = StopFilter(stops)
    shown = "".join(stop_filter.push(piece) for piece in pieces) + stop_filter.finish()
    # the first to be complete: no reader waits for a longer one that begins earlier
    places = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert shown == (text[: min(places)[1]] if places else text)
    assert stop_filter.found == bool(places)


@given(text=_texts, stop=st.text(alphabet="ab", min_size=1, max_size=4), cuts=st.lists(st.integers(0, 14)))
def test_a_single_stop_text_cuts_exactly_at_its_first_place(text, stop, cuts):
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    stop_filter = StopFilter([stop])
    shown = "".join(stop_filter.push(text[a:b]) for a, b in itertools.pairwise(borders))
    assert shown + stop_filter.finish() == text.split(stop)[0]


def test_text_that_may_become_a_stop_text_is_held_back():
    stop_filter = StopFilter(["STOP"])
    assert [stop_filter.push(piece) for piece in ("one S", "TO", "ry", " two")] == ["one ", "", "STOry", " two"]


def test_nothing_is_shown_after_the_stop_text():
    stop_filter = StopFilter(["STOP"])
    assert stop_filter.push("one STOP two") == "one "
    assert stop_filter.push("three") == stop_filter.finish() == ""
