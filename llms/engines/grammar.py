"""Token masks of constraints, by llguidance."""

import functools
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.engines.constraints import Constraint, to_lark
from llms.errors import ConstraintError, UnsupportedOptionError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from transformers import PreTrainedTokenizerBase


class Matcher:
    """The state of one answer under its constraint."""

    def __init__(self, matcher: "LLMatcher", num_ids: int) -> None:
        self._matcher = matcher
        self._num_ids = num_ids

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Return for each token id whether it may come next: (vocabulary,)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.zeros(self._num_ids, dtype=np.bool_)
        known = np.unpackbits(bits, bitorder="little")[: self._num_ids]
        mask[: len(known)] = known
        return mask

    def accept(self, token_id: int) -> None:
        """Go on with a token that was allowed.

        Raises:
            ConstraintError: if it was not, or if the constraint grew too complex to follow.
        """
        if not self._matcher.consume_token(token_id):
            msg = f"the constraint cannot be followed any further: {self._matcher.get_error() or 'no token fits'}"
            raise ConstraintError(msg)

    @property
    def is_complete(self) -> bool:
        """Whether the answer matches and nothing can be added to it."""
        return bool(self._matcher.is_stopped())


class GrammarCompiler:
    """Constraints to matchers for one tokenizer; what was compiled once is kept."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, num_ids: int, end_ids: Collection[int], max_kept: int = 64
    ) -> None:
        self._tokenizer = tokenizer
        self._num_ids = num_ids
        ends = end_ids or {tokenizer.eos_token_id} - {None}  # llguidance needs one to say "complete" with
        self._end_ids = sorted(ends)
        self._lock = threading.Lock()
        self._compile_once = functools.lru_cache(maxsize=max_kept)(self._compile)

    def new_matcher(self, constraint: Constraint, *, cache_salt: str = "") -> Matcher:
        """Return a matcher at the beginning of an answer; safe to call from any thread.

        Args:
            cache_salt: only calls with the same one share what was compiled.

        Raises:
            ConstraintError: if the constraint is malformed, or no answer can match it.
            UnsupportedOptionError: if the model's tokenizer cannot be read token by token.
        """
        return Matcher(self._compile_once(constraint, cache_salt).deep_copy(), self._num_ids)

    def _compile(self, constraint: Constraint, _cache_salt: str) -> "LLMatcher":
        from llguidance import LLMatcher

        matcher = LLMatcher(self._vocabulary, to_lark(constraint, mark_ids=self._mark_ids), log_level=0)
        if matcher.is_error():
            msg = f"the constraint cannot be used: {' '.join(matcher.get_error().split())}"
            raise ConstraintError(msg)
        may_begin = Matcher(matcher.deep_copy(), self._num_ids).allowed()
        may_begin[self._end_ids] = False
        if not may_begin.any() and not matcher.is_accepting():
            msg = "no text of this model's tokens can match the constraint; check the pattern or schema"
            raise ConstraintError(msg)
        return matcher

    @functools.cached_property
    def _mark_ids(self) -> list[int]:
        added: Any = self._tokenizer.added_tokens_decoder
        return sorted(token_id for token_id, token in added.items() if not token.special and token_id < self._num_ids)

    @functools.cached_property
    def _vocabulary(self) -> "LLTokenizer":
        from llguidance import hf

        fast: Any = self._tokenizer
        with self._lock:
            try:
                return hf.from_tokenizer(fast, n_vocab=self._num_ids, eos_token=self._end_ids)
            except (ValueError, AttributeError) as error:
                msg = f"answers of this model cannot be constrained, its tokenizer is of an unknown kind: {error}"
                raise UnsupportedOptionError(msg) from error
