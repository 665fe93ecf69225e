"""Token ids to shown text: every token is known, since none comes from a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.chat.generation import StopWatch, TextStream
from llms.chat.streaming import Detokenizer, StopFilter
from tests.tiny_models import build_chat_tokenizer

TOKENIZER = build_chat_tokenizer()
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


def _ids(text):
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def _stream(*stops, tokenizer=TOKENIZER):
    return TextStream(Detokenizer(tokenizer, hidden_ids=set(TOKENIZER.all_special_ids)), StopFilter(stops))


def _pieces(stream, ids, size=1):
    pieces = [stream.push(ids[place : place + size]) for place in range(0, len(ids), size)]
    return [*pieces, stream.finish()]


@given(TEXTS, st.integers(1, 5))
def test_pieces_joined_are_the_text_though_every_token_is_one_byte(text, size):
    pieces = _pieces(_stream(), _ids(text), size)
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@given(st.text(alphabet="ab退🙂", max_size=20), st.text(alphabet="ab退🙂", min_size=1, max_size=4), st.integers(1, 5))
def test_a_stop_text_is_found_across_token_borders(text, stop, size):
    assert "".join(_pieces(_stream(stop), _ids(text), size)) == text.split(stop)[0]


@given(st.text(alphabet="ab退", max_size=20), st.text(alphabet="ab退", min_size=1, max_size=3))
def test_a_watch_speaks_up_with_the_token_that_completes_the_stop_text(text, stop):
    watch = StopWatch(_stream(stop))
    answers = [watch(token_id) for token_id in _ids(text)]
    expected = len(_ids(text[: text.index(stop) + len(stop)])) - 1 if stop in text else None
    assert (answers.index(True) if True in answers else None) == expected


def test_a_cut_character_is_shown_as_broken_at_the_end_only():
    assert _pieces(_stream(), _ids("a退")[:3]) == ["a", "", "", "\ufffd"]


def test_no_tokens_are_no_text():
    assert _pieces(_stream(), []) == [""]


def test_control_tokens_are_hidden_unless_they_mean_something():
    start = TOKENIZER.convert_tokens_to_ids("<|im_start|>")
    ids = [*_ids("a"), start, *_ids("b")]
    assert "".join(_pieces(_stream(), ids)) == "ab"
    shown = TextStream(Detokenizer(TOKENIZER, hidden_ids=set()))
    assert "".join(_pieces(shown, ids)) == "a<|im_start|>b"


def test_a_tokenizer_that_cleans_up_spaces_loses_no_character():
    tokenizer = build_chat_tokenizer()
    tokenizer.clean_up_tokenization_spaces = True
    text = "one . two ? it 's"
    assert "".join(_pieces(_stream(tokenizer=tokenizer), _ids(text))) == text


def test_the_work_for_a_token_does_not_grow_with_the_answer():
    sizes = []

    class Counting:
        def decode(self, ids, **options):
            sizes.append(len(ids))
            return TOKENIZER.decode(ids, **options)

    _pieces(_stream(tokenizer=Counting()), _ids("word " * 200))
    assert max(sizes) < 10


@pytest.mark.parametrize("prefix", ["", "▁"])
def test_words_keep_the_spaces_between_them(prefix):
    from tokenizers import Tokenizer, decoders, models

    words = ["▁one", "▁two", "three"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="three"))
    tokenizer.decoder = decoders.Metaspace()

    class Metaspace:
        def decode(self, ids, **_):
            return tokenizer.decode(ids)

    stream = TextStream(Detokenizer(Metaspace(), hidden_ids=set()))
    assert "".join(_pieces(stream, [0, 1, 2, 1])) == "one twothree two"
