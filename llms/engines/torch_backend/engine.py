"""Generation with transformers: every architecture it knows, on CPU and GPU, with adapters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from llms.engines.adapters import Adapter
from llms.engines.grammar import GrammarCompiler
from llms.engines.requests import GenerationRequest, Job, Step
from llms.engines.step_engine import StepEngine
from llms.engines.torch_backend.adapters import AdaptedNetwork, load_adapter
from llms.engines.torch_backend.prefix_cache import PrefixCache, Sharers
from llms.engines.torch_backend.rows import (
    Layers,
    PaddedRows,
    Rows,
    cache_argument,
    forward,
    guess_next,
    has_plain_layers,
    new_rows,
    plain_cache,
    plain_layers,
    takes,
)
from llms.engines.torch_backend.sampling import Sampler
from llms.engines.torch_backend.scoring import score_continuations
from llms.errors import ContextOverflowError

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase


DEFAULT_KV_CACHE_BYTES = 2**30


class _Group:
    """The running requests of one adapter, in the order of their rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.jobs: list[Job] = []


class TorchEngine(StepEngine):
    """One causal language model and its adapters; requests of one adapter share each forward pass.

    An adapter is loaded when it is first asked for.

    Args:
        model: on its device, in evaluation mode.
        tokenizer: needed for constraints only.
        kv_cache_bytes: ceiling for keys and values of running and earlier prompts.
        prompt_lookup: guess tokens from the context where a single greedy request runs; its answer stays the same.
    """

    name = "torch"

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        kv_cache_bytes: int = DEFAULT_KV_CACHE_BYTES,
        prompt_lookup: bool = False,
        max_running: int = 32,
        max_waiting: int = 64,
    ) -> None:
        cache_argument(model)  # refuses a model that cannot be run, before anything is built
        self.bytes_per_token = _bytes_per_token(model)
        super().__init__(
            context_tokens=int(getattr(model.config, "max_position_embeddings", 0) or 2**31),
            end_ids=end_token_ids(model),
            max_running=max_running,
            max_waiting=max_waiting,
        )
        self.model = model
        self.kv_cache_bytes = kv_cache_bytes
        self.prompt_lookup = prompt_lookup
        self._networks: dict[Adapter | None, AdaptedNetwork] = {None: AdaptedNetwork(model)}
        head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        num_ids = int(head.weight.shape[0])
        self._grammar = GrammarCompiler(tokenizer, num_ids=num_ids, end_ids=self.end_ids)
        self._prefixes = PrefixCache(kv_cache_bytes // 2)
        self._groups: dict[Adapter | None, _Group] = {}
        self._samplers: dict[Job, Sampler] = {}

    @override
    def check_request(self, request: GenerationRequest) -> None:
        if (needed := self._bytes_for(request)) > self.kv_cache_bytes:
            msg = (
                f"keys and values of prompt and answer need {needed / 2**20:,.0f} MiB, the ceiling is "
                f"{self.kv_cache_bytes / 2**20:,.0f} MiB; raise max_kv_cache_mb, shorten the prompt or lower max_tokens"
            )
            raise ContextOverflowError(msg)
        if request.constraint is not None:
            self._grammar.new_matcher(request.constraint, cache_salt=request.cache_salt)

    @override
    def score(
        self,
        prompt_ids: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        adapter: Adapter | None = None,
        cache_salt: str = "",
    ) -> list[float]:
        def task() -> list[float]:
            adapted = self._network(adapter)
            cache, logits, _ = self._prefill((adapter, cache_salt), adapted, prompt_ids)
            return score_continuations(
                adapted.network, cache, logits, continuations, num_cached=len(prompt_ids) + adapted.num_virtual_tokens
            )

        return self.run_between_steps(task).result()

    @override
    def has_room(self, job: Job) -> bool:
        free = self._free_bytes() - self._bytes_for(job.request)
        if free >= 0:
            self._prefixes.shrink_to(free)
        return free >= 0

    @override
    def start(self, job: Job) -> Step | None:
        request = job.request
        matcher = None
        if request.constraint is not None:
            matcher = self._grammar.new_matcher(request.constraint, cache_salt=request.cache_salt)
        self._samplers[job] = Sampler(request.options, request.prompt_ids, matcher)
        adapted = self._network(request.adapter)
        cache, logits, job.num_cached_tokens = self._prefill(_sharers(request), adapted, request.prompt_ids)
        group = self._groups.get(request.adapter)
        if group is None:
            group = self._groups[request.adapter] = _Group(new_rows(adapted.network, cache))
        group.rows.add(cache, len(request.prompt_ids) + adapted.num_virtual_tokens)
        group.jobs.append(job)
        return self._choose(job, logits)

    @override
    def step(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Step]]:
        for group in list(self._groups.values()):
            if self._can_look_up(group):
                yield from self._step_with_guesses(group)
                continue
            logits = group.rows.forward([job.ids[-1] for job in group.jobs])
            plain = logits.argmax(-1).tolist()  # at once for all, since most requests need no more
            is_finite = not bool(logits.isnan().any())
            for job, row, token_id in zip(list(group.jobs), logits, plain, strict=True):
                is_plain = is_finite and self._samplers[job].is_plain
                yield job, (self._plain_step(token_id) if is_plain else self._choose(job, row))

    @override
    def forget(self, job: Job) -> None:
        self._samplers.pop(job, None)
        adapter = job.request.adapter
        group = self._groups.get(adapter)
        if group is None or job not in group.jobs:  # it failed before it had a row
            return
        row = group.jobs.index(job)
        if isinstance(group.rows, PaddedRows) and not self._network(adapter).num_virtual_tokens and job.ids:
            # the answer is the beginning of the conversation's next prompt
            layers = group.rows.layers_of(row)
            known = [*job.request.prompt_ids, *job.ids][: layers[0][0].shape[2]]
            self._keep(
                _sharers(job.request), known, [(k[:, :, : len(known)], v[:, :, : len(known)]) for k, v in layers]
            )
        group.jobs.pop(row)
        group.rows.remove(row)
        if not group.jobs:
            del self._groups[adapter]

    @override
    def reset(self) -> None:
        self._groups.clear()
        self._samplers.clear()
        self._prefixes.clear()

    def _network(self, adapter: Adapter | None) -> AdaptedNetwork:
        if adapter is not None and adapter not in self._networks:
            self._networks[adapter] = load_adapter(self.model, adapter)
        return self._networks[adapter]

    def _prefill(
        self, sharers: Sharers, adapted: AdaptedNetwork, ids: Sequence[int]
    ) -> "tuple[Cache, torch.Tensor, int]":
        """Return the cache of a prompt, the logits after it (vocabulary,), and how many tokens needed no work."""
        import torch

        num_known, layers = self._prefixes.find(sharers, ids) if not adapted.num_virtual_tokens else (0, [])
        cache = plain_cache(layers) if num_known else adapted.new_cache()
        device = self.model.device
        first = num_known + adapted.num_virtual_tokens
        new = torch.tensor([list(ids[num_known:])], device=device)
        inputs: dict[str, Any] = {}
        if has_plain_layers(cache) and first:  # something is there already: say where the new tokens stand
            if takes(adapted.network, "position_ids"):
                inputs["position_ids"] = torch.arange(first, first + new.shape[1], device=device)[None]
            inputs["attention_mask"] = torch.ones((1, first + new.shape[1]), dtype=torch.long, device=device)
        logits = forward(adapted.network, last_only=True, input_ids=new, past_key_values=cache, **inputs)[0, -1]
        if has_plain_layers(cache) and not adapted.num_virtual_tokens:
            self._keep(sharers, ids, plain_layers(cache))
        return cache, logits, num_known

    def _choose(self, job: Job, logits: "torch.Tensor") -> Step:
        sampler = self._samplers[job]
        try:
            token_id, score = sampler.choose(logits)
            if token_id in self.end_ids:
                return Step(None, finish_reason="stop")
            sampler.accept(token_id)
        except Exception as error:  # this request's own: the others in the batch go on
            return Step(None, error=error)
        is_complete = sampler.matcher is not None and sampler.matcher.is_complete
        return Step(token_id, score, finish_reason="stop" if is_complete else None)

    def _plain_step(self, token_id: int) -> Step:
        return Step(None, finish_reason="stop") if token_id in self.end_ids else Step(token_id)

    def _can_look_up(self, group: _Group) -> bool:
        is_alone = len(self._running) == 1 and len(group.jobs) == 1
        return (
            self.prompt_lookup
            and is_alone
            and isinstance(group.rows, PaddedRows)
            and self._samplers[group.jobs[0]].is_plain
        )

    def _step_with_guesses(self, group: _Group) -> Iterator[tuple[Job, Step]]:
        (job,) = group.jobs
        rows: Any = group.rows
        left = job.request.options.max_new_tokens - len(job.ids)
        guesses = guess_next([*job.request.prompt_ids, *job.ids])[: left - 1]
        chosen = rows.forward_several([[job.ids[-1], *guesses]])[0].argmax(-1).tolist()
        num_right = next((i for i, guess in enumerate(guesses) if guess != chosen[i]), len(guesses))
        rows.shorten(len(guesses) - num_right)
        for token_id in chosen[: num_right + 1]:
            yield job, self._plain_step(token_id)

    def _keep(self, sharers: Sharers, ids: Sequence[int], layers: Layers) -> None:
        """Keep a prompt's keys and values for later ones, as far as the running requests leave room."""
        self._prefixes.add(sharers, ids, layers)
        self._prefixes.shrink_to(self._free_bytes())

    def _free_bytes(self) -> int:
        return self.kv_cache_bytes - sum(self._bytes_for(job.request) for job in self._running)

    def _bytes_for(self, request: GenerationRequest) -> int:
        return (len(request.prompt_ids) + request.options.max_new_tokens) * self.bytes_per_token


def _sharers(request: GenerationRequest) -> Sharers:
    return request.adapter, request.cache_salt


def end_token_ids(model: "PreTrainedModel") -> frozenset[int]:
    """Return the tokens that end an answer, from both places that may name them."""
    ends = [getattr(model.generation_config, "eos_token_id", None), getattr(model.config, "eos_token_id", None)]
    flat = [end for entry in ends for end in (entry if isinstance(entry, list) else [entry])]
    return frozenset(end for end in flat if end is not None)


def _bytes_per_token(model: "PreTrainedModel") -> int:
    """Return the size of one token's keys and values in all layers, as far as the configuration tells it."""
    config: Any = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", None) or 1
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // heads
    return int(2 * config.num_hidden_layers * key_heads * head_dim * model.dtype.itemsize)
