"""Sampling of the next token: penalties, constraint, temperature, truncation, seed."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llms.engines.grammar import Matcher
from llms.engines.requests import TokenScore
from llms.errors import ConstraintError, EngineError
from llms.options import GenerationOptions

if TYPE_CHECKING:
    import torch


class Sampler:
    """Chooses the tokens of one answer; whatever else runs in the batch makes no difference to it.

    Args:
        prompt_ids: the prompt, which the repetition penalty looks at too.
        matcher: the constraint at its beginning, if there is one.
    """

    def __init__(self, options: GenerationOptions, prompt_ids: Sequence[int], matcher: Matcher | None) -> None:
        self.options = options
        self.matcher = matcher
        self._prompt_ids = prompt_ids
        self._ids: list[int] = []
        self._generator: torch.Generator | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is taken as it is, so that a whole batch can be chosen at once."""
        options = self.options
        return options.is_greedy and not options.has_penalties and options.logprobs is None and self.matcher is None

    def choose(self, logits: "torch.Tensor") -> tuple[int, TokenScore | None]:
        """Return the next token and, if asked for, its log probability under the model itself.

        Args:
            logits: (vocabulary,) of any floating type, on any device; not changed.
        """
        import torch

        raw = logits.float().cpu()
        if raw.isnan().any():
            msg = "the model's output holds values that are no numbers; use precision='float32', or another model"
            raise EngineError(msg)
        scores = self._penalise(raw.clone()) if self.options.has_penalties else raw
        if self.matcher is not None:
            allowed = torch.from_numpy(self.matcher.allowed())
            if not allowed.any():
                msg = "the constraint leaves no token to go on with; simplify the schema or pattern"
                raise ConstraintError(msg)
            scores = torch.where(allowed, scores, -torch.inf)
        token_id = int(scores.argmax()) if self.options.is_greedy else self._draw(scores)
        return token_id, self._score(raw, token_id)

    def accept(self, token_id: int) -> None:
        """Remember a token that became part of the answer."""
        self._ids.append(token_id)
        if self.matcher is not None:
            self.matcher.accept(token_id)

    def _penalise(self, scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        options = self.options
        if options.repetition_penalty != 1.0:  # as transformers: prompt and answer, and towards less likely
            seen = torch.tensor(sorted({*self._prompt_ids, *self._ids}))
            values = scores[seen]
            penalty = options.repetition_penalty
            scores[seen] = torch.where(values < 0, values * penalty, values / penalty)
        if self._ids and (options.presence_penalty or options.frequency_penalty):
            counted = Counter(self._ids)
            chosen, counts = torch.tensor(list(counted)), torch.tensor(list(counted.values()))
            scores[chosen] -= options.presence_penalty + options.frequency_penalty * counts
        return scores

    def _draw(self, scores: "torch.Tensor") -> int:
        import torch

        options = self.options
        scores = scores / options.temperature
        if options.top_k is not None and options.top_k < scores.numel():
            scores = scores.masked_fill(scores < scores.topk(options.top_k).values[-1], -torch.inf)
        if options.top_p is not None and options.top_p < 1:
            ordered, positions = scores.sort(descending=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            scores = scores.index_fill(0, positions[before >= options.top_p], -torch.inf)  # the likeliest always stays
        if options.min_p is not None:
            probabilities = scores.softmax(-1)
            scores = scores.masked_fill(probabilities < options.min_p * probabilities.max(), -torch.inf)
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._own_generator()))

    def _own_generator(self) -> "torch.Generator":
        import torch

        if self._generator is None:
            self._generator = torch.Generator()
            if self.options.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self.options.seed)
        return self._generator

    def _score(self, raw: "torch.Tensor", token_id: int) -> TokenScore | None:
        if self.options.logprobs is None:
            return None
        logprobs = raw.log_softmax(-1)
        best = logprobs.topk(self.options.logprobs) if self.options.logprobs else None
        alternatives = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)) if best else ()
        return TokenScore(token_id, float(logprobs[token_id]), alternatives)
