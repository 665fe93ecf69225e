"""Token ids to a stream of text, with a scripted engine, so that every token is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.engines.engine import Engine
from llms.errors import ContextOverflowError, InputTextError
from llms.generation import LoadedModel, stream_text
from llms.options import GenerationOptions
from tests.tiny_models import build_chat_tokenizer

TOKENIZER = build_chat_tokenizer()


class ScriptedEngine(Engine):
    """Yields given token ids and counts how many were asked for."""

    def __init__(self, ids, *, context_tokens=10_000):
        self.ids = ids
        self.context_tokens = context_tokens
        self.num_steps = 0

    def generate(self, prompt_ids, options):
        for token_id in self.ids[: options.max_new_tokens]:
            self.num_steps += 1
            yield token_id


def _ids(text):
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def _pieces(ids, **options):
    model = LoadedModel(ScriptedEngine(ids), TOKENIZER)
    return list(stream_text(model, [1], GenerationOptions(**{"max_new_tokens": 500, **options})))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_pieces_joined_are_the_text_though_every_token_is_one_byte(text):
    pieces = _pieces(_ids(text))
    assert "".join(piece.text for piece in pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece.text for piece in pieces)


@given(st.text(alphabet="ab退🙂", max_size=20), st.text(alphabet="ab退🙂", min_size=1, max_size=4))
def test_a_stop_text_is_found_across_token_borders(text, stop):
    pieces = _pieces(_ids(text), stop=(stop,))
    assert "".join(piece.text for piece in pieces) == text.split(stop)[0]
    assert pieces[-1].finish_reason == "stop"


def test_nothing_is_asked_of_the_engine_after_a_stop_text():
    engine = ScriptedEngine(_ids("one STOP two three"))
    options = GenerationOptions(stop=("STOP",))
    pieces = list(stream_text(LoadedModel(engine, TOKENIZER), [1], options))
    assert engine.num_steps == len("one STOP")
    assert pieces[-1].num_output_tokens == len("one STOP")


def test_only_the_last_piece_has_a_finish_reason():
    for options, reason in (({}, "stop"), ({"max_new_tokens": 3}, "length"), ({"stop": ("e",)}, "stop")):
        pieces = _pieces(_ids("one two"), **options)
        assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert pieces[-1].finish_reason == reason


def test_a_cut_character_at_the_limit_is_shown_as_broken_and_counted():
    pieces = _pieces(_ids("a退")[:3], max_new_tokens=3)
    assert "".join(piece.text for piece in pieces) == "a\ufffd"
    assert (pieces[-1].finish_reason, pieces[-1].num_output_tokens) == ("length", 3)


def test_an_answer_without_tokens_is_one_empty_piece():
    (piece,) = _pieces([])
    assert (piece.text, piece.num_output_tokens, piece.finish_reason) == ("", 0, "stop")


def test_control_tokens_in_an_answer_are_not_shown():
    end = TOKENIZER.convert_tokens_to_ids("<|im_start|>")
    assert "".join(piece.text for piece in _pieces([*_ids("a"), end, *_ids("b")])) == "ab"


def test_a_tokenizer_that_cleans_up_spaces_loses_no_character():
    tokenizer = build_chat_tokenizer()
    tokenizer.clean_up_tokenization_spaces = True
    model = LoadedModel(ScriptedEngine(_ids("one . two ? it 's")), tokenizer)
    pieces = stream_text(model, [1], GenerationOptions())
    assert "".join(piece.text for piece in pieces) == "one . two ? it 's"


def test_a_prompt_that_leaves_no_room_is_refused_before_any_work():
    engine = ScriptedEngine(_ids("one"), context_tokens=10)
    model = LoadedModel(engine, TOKENIZER)
    with pytest.raises(ContextOverflowError, match=r"prompt \(6 tokens\) and answer \(up to 5\) need 11.*takes 10"):
        stream_text(model, [1] * 6, GenerationOptions(max_new_tokens=5))
    assert engine.num_steps == 0
    assert list(stream_text(model, [1] * 5, GenerationOptions(max_new_tokens=5)))


def test_an_empty_prompt_is_refused():
    with pytest.raises(InputTextError, match="prompt is empty"):
        stream_text(LoadedModel(ScriptedEngine([]), TOKENIZER), [], GenerationOptions())
