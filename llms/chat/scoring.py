"""Probabilities that a model's whole answer is one of several given texts."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from llms.chat.calls import ChatCall
from llms.engines.constraints import choices_constraint
from llms.errors import OptionValueError


def score_choices(call: ChatCall, choices: Sequence[str], *, temperature: float = 1.0) -> dict[str, float]:
    """Return choice -> probability, in the order of `choices`, summing to 1.

    A choice's score is the log probability that the model answers with its tokens and then ends. The prompt runs
    through the model once, whatever the number of choices. The probabilities are the softmax of the scores over the
    choices, so they say which choice, given that it is one of them.

    Raises:
        ConstraintError: if there are no choices, or one of them is empty.
        OptionValueError: if `temperature` is not above 0.
    """
    choices_constraint(choices)
    if not temperature > 0:
        msg = f"temperature must be a number above 0, got {temperature!r}"
        raise OptionValueError(msg)
    engine, tokenizer = call.loaded.engine, call.loaded.tokenizer
    engine.check_room(call.request)
    names = list(dict.fromkeys(choices))
    ids = [tokenizer.encode(name, add_special_tokens=False) for name in names]
    ends = [[end] for end in sorted(engine.end_ids)] or [[]]
    continuations = [[*one, *end] for one in ids for end in ends]
    scores = engine.score(
        call.request.prompt_ids, continuations, adapter=call.request.adapter, cache_salt=call.request.cache_salt
    )
    by_end = np.asarray(scores, dtype=np.float64).reshape(len(names), len(ends))
    totals = np.logaddexp.reduce(by_end, axis=1) / temperature  # (choices,): whichever end token comes
    return dict(zip(names, softmax(totals).tolist(), strict=True))
