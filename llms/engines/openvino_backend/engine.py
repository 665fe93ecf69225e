"""Generation with OpenVINO GenAI: paged attention and continuous batching on the CPU."""

import functools
import hashlib
import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from llms.device import wants_bfloat16
from llms.engines.adapters import Adapter
from llms.engines.constraints import Constraint
from llms.engines.memory import forgetting_file_pages
from llms.engines.openvino_backend.export import export_openvino
from llms.engines.openvino_backend.grammar import to_ebnf
from llms.engines.requests import GenerationRequest, Job, Step, TokenScore
from llms.engines.step_engine import StepEngine
from llms.errors import EngineError, OptionValueError, UnsupportedOptionError
from llms.loading import folder_stamp
from llms.openvino_export import ExportPrecision, read_manifest
from llms.options import GenerationOptions

if TYPE_CHECKING:
    import openvino as ov
    import openvino_genai as genai


_BLOCK_TOKENS = 32  # of the paged cache on CPU
_STEP_TOKENS = 1024  # of prompts in one step: GenAI's 256 makes a batch slower, 4,096 takes memory and wins nothing
_GUESSED_TOKENS = 5  # prompt lookup: tokens guessed at a time ...
_NGRAM = 3  # ... from a position in the context where the last so many tokens stand
_LARGEST_MIN_P = 0.999999  # GenAI refuses 1, which means the likeliest token alone
_SCORE_BYTES = 128 * 1024**2  # for logits and what is computed from them, at a time while scoring


class OpenVinoEngine(StepEngine):
    """A decoder exported by `export_openvino`; requests that run together share each step.

    Prompts that begin alike share their keys and values, as long as these are in the cache. GenAI knows a prompt by
    its tokens alone, so this ends for good with the first request under another cache salt than those before it.

    Args:
        export: folder written by `export_openvino`.
        kv_cache_bytes: memory for keys and values, taken as a whole at the first step.
        prompt_lookup: guess the next tokens from the context and check them together. Measured on 2 cores: one
            request that repeats its context is three times as fast; sixteen whose guesses fail are half as fast.
            The tokens stay the same.
    """

    name = "openvino"

    def __init__(
        self,
        export: Path,
        *,
        kv_cache_bytes: int = 1024**3,
        max_running: int = 32,
        max_waiting: int = 64,
        prompt_lookup: bool = False,
    ) -> None:
        manifest = read_manifest(export)
        if not manifest:
            msg = f"{export} is no complete export; make it with export_openvino"
            raise EngineError(msg)
        self._export = export
        self._text_end_id: int | None = manifest["text_end_id"]
        self._precision: ExportPrecision = manifest["identity"]["dtype"]
        self._prompt_lookup = prompt_lookup
        self._num_blocks = _num_blocks(manifest["cache_shapes"], self._precision, kv_cache_bytes)
        super().__init__(
            context_tokens=min(manifest["context_tokens"], self._num_blocks * _BLOCK_TOKENS - _GUESSED_TOKENS),
            end_ids=frozenset(manifest["end_ids"]),
            max_running=max_running,
            max_waiting=max_waiting,
        )
        self._handles: dict[Job, genai.GenerationHandle] = {}
        self._cache_salt: str | None = None  # of all requests so far
        self._keeps_prompts = True
        self._to_ebnf = functools.lru_cache(maxsize=256)(_to_salted_ebnf)
        self._num_started = 0
        self._scorer = _Scorer(export, self._precision)
        self._pipeline = self._open_pipeline()

    @override
    def check_request(self, request: GenerationRequest) -> None:
        if request.adapter is not None:
            msg = f'adapter {request.adapter!r}: the OpenVINO engine runs none; use engine="torch"'
            raise UnsupportedOptionError(msg)
        if request.options.logprobs:
            msg = (
                f"logprobs={request.options.logprobs}: the OpenVINO engine knows the chosen token's log probability "
                'but no alternatives; use logprobs=0, or engine="torch"'
            )
            raise UnsupportedOptionError(msg)
        if request.constraint is not None:
            self._to_ebnf(request.constraint, request.cache_salt)
            if not self._stop_ids(request):
                msg = "answers of this model cannot be constrained, neither it nor its tokenizer names an end token"
                raise UnsupportedOptionError(msg)
        self._generation_config(request)

    @override
    def score(
        self,
        prompt_ids: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        adapter: Adapter | None = None,
        cache_salt: str = "",
    ) -> list[float]:
        if adapter is not None:
            msg = f'adapter {adapter!r}: the OpenVINO engine runs none; use engine="torch"'
            raise UnsupportedOptionError(msg)
        return self._scorer.score(prompt_ids, continuations)

    @override
    def has_room(self, job: Job) -> bool:
        if self._handles and self._must_part(job.request):
            return False  # the pipeline is about to be opened anew
        # each job is sure of its longest answer, so none is ever thrown out half-way
        reserved = sum(_blocks_for(running.request) for running in self._handles)
        return reserved + _blocks_for(job.request) <= self._num_blocks

    @override
    def start(self, job: Job) -> Step | None:
        import openvino as ov

        if self._must_part(job.request):
            self._keeps_prompts = False
            self._pipeline = self._open_pipeline()
        self._cache_salt = job.request.cache_salt
        self._num_started += 1
        ids = ov.Tensor(np.asarray([job.request.prompt_ids], dtype=np.int64))  # (1, tokens)
        config = self._generation_config(job.request)
        self._handles[job] = self._pipeline.add_request(self._num_started, ids, config)
        return None

    def _must_part(self, request: GenerationRequest) -> bool:
        """Whether a request could find the prompts of another cache salt."""
        return self._keeps_prompts and self._cache_salt not in (None, request.cache_salt)

    @override
    def step(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Step]]:
        import openvino_genai as genai

        self._pipeline.step()
        for job in jobs:
            handle = self._handles[job]
            if handle.can_read():
                for output in handle.read().values():
                    for new in self._steps(job, output):
                        yield job, new
            elif handle.get_status() == genai.GenerationStatus.IGNORED:
                msg = "the cache for keys and values is too small for this request; raise kv_cache_bytes"
                raise EngineError(msg)

    def _steps(self, job: Job, output: "genai.GenerationOutput") -> Iterator[Step]:
        wants_scores = job.request.options.logprobs is not None
        stop_ids = self._stop_ids(job.request)
        for token_id, logprob in zip(output.generated_ids, output.generated_log_probs, strict=True):
            if token_id in stop_ids:
                yield Step(None, finish_reason="stop")
                return
            yield Step(token_id, TokenScore(token_id, logprob) if wants_scores else None)

    def _stop_ids(self, request: GenerationRequest) -> set[int]:
        if request.constraint is None or self.end_ids or self._text_end_id is None:
            return set(self.end_ids)
        return {self._text_end_id}  # a constrained answer must be able to end

    @override
    def forget(self, job: Job) -> None:
        import openvino_genai as genai

        handle = self._handles.pop(job, None)
        if handle is not None and handle.get_status() == genai.GenerationStatus.RUNNING:
            handle.cancel()
            if not self._handles:  # a step gives its blocks back, and computes nothing where nothing else runs
                self._pipeline.step()

    @override
    def reset(self) -> None:
        self._handles.clear()
        self._pipeline = self._open_pipeline()  # after an error the old one may hold half-done requests

    def _open_pipeline(self) -> "genai.ContinuousBatchingPipeline":
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = self._num_blocks
        scheduler.max_num_seqs = self.max_running
        scheduler.max_num_batched_tokens = _STEP_TOKENS
        scheduler.enable_prefix_caching = self._keeps_prompts
        properties: dict[str, Any] = dict(_properties(self._precision))
        if self._prompt_lookup:
            properties["prompt_lookup"] = True
        try:
            with forgetting_file_pages(self._export / "openvino_model.bin"):
                pipeline = genai.ContinuousBatchingPipeline(self._export, scheduler, "CPU", properties)
                self._warm_up(pipeline)
        except RuntimeError as error:
            msg = f"OpenVINO GenAI cannot run {self._export}: {error}"
            raise EngineError(msg) from error
        return pipeline

    def _warm_up(self, pipeline: "genai.ContinuousBatchingPipeline") -> None:
        """Make one token, so that weights are brought into the CPU's form now and not at the first request."""
        import openvino as ov

        request = GenerationRequest(prompt_ids=[0], options=GenerationOptions(max_new_tokens=1))
        pipeline.generate([ov.Tensor(np.zeros((1, 1), dtype=np.int64))], [self._generation_config(request)])

    def _generation_config(self, request: GenerationRequest) -> "genai.GenerationConfig":
        import openvino_genai as genai

        options = request.options
        stop_ids = self._stop_ids(request)
        config = genai.GenerationConfig(
            max_new_tokens=options.max_new_tokens,
            do_sample=not options.is_greedy,
            stop_token_ids=stop_ids,
            ignore_eos=not stop_ids,
            repetition_penalty=options.repetition_penalty,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            logprobs=0 if options.logprobs is None else 1,
            **_sampling(options),
        )
        if self._prompt_lookup:
            config.num_assistant_tokens, config.max_ngram_size = _GUESSED_TOKENS, _NGRAM
        if request.constraint is not None:
            ebnf = self._to_ebnf(request.constraint, request.cache_salt)
            config.structured_output_config = genai.StructuredOutputConfig(grammar=ebnf)
        try:
            config.validate()
        except RuntimeError as error:
            msg = f"the OpenVINO engine does not take these options: {str(error).strip().splitlines()[-1]}"
            raise OptionValueError(msg) from error
        return config


def load_openvino_engine(
    folder: Path,
    *,
    precision: ExportPrecision = "bfloat16",
    kv_cache_bytes: int = 1024**3,
    max_running: int = 32,
    prompt_lookup: bool = False,
) -> OpenVinoEngine:
    """Return the engine for a model folder, exported if need be; the same files are loaded once and then shared.

    Raises:
        EngineError: if OpenVINO is not installed, or cannot run this model with torch's tokens.
    """
    return _load_openvino_engine(folder, folder_stamp(folder), precision, kv_cache_bytes, max_running, prompt_lookup)


@functools.lru_cache(maxsize=4)
def _load_openvino_engine(
    folder: Path,
    _stamp: object,
    precision: ExportPrecision,
    kv_cache_bytes: int,
    max_running: int,
    prompt_lookup: bool,  # noqa: FBT001 (a cache key)
) -> OpenVinoEngine:
    export = export_openvino(folder, precision=precision)
    return OpenVinoEngine(export, kv_cache_bytes=kv_cache_bytes, max_running=max_running, prompt_lookup=prompt_lookup)


def _to_salted_ebnf(constraint: Constraint, cache_salt: str) -> str:
    """Return the grammar with a rule that nothing refers to: GenAI keeps what it compiled by the grammar alone."""
    ebnf = to_ebnf(constraint)
    return f'{ebnf}\nsalt_{hashlib.sha256(cache_salt.encode()).hexdigest()} ::= ""' if cache_salt else ebnf


class _Scorer:
    """Log probabilities of given texts, by the same graph without paging: GenAI gives those of its own tokens only.

    Compiled at the first use; it then holds the weights a second time.
    """

    def __init__(self, export: Path, precision: ExportPrecision) -> None:
        self._export = export
        self._precision = precision
        self._lock = threading.Lock()

    @functools.cached_property
    def _request(self) -> "ov.InferRequest":
        import openvino as ov

        model = self._export / "openvino_model.xml"
        with forgetting_file_pages(model.with_suffix(".bin")):
            return ov.Core().compile_model(model, "CPU", _properties(self._precision)).create_infer_request()

    def score(self, prompt_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """Return the sum of the log probabilities of each continuation's tokens; the prompt is read once."""
        if not prompt_ids:
            msg = "score needs a prompt of at least one token"
            raise OptionValueError(msg)
        with self._lock:
            self._request.reset_state()
            if len(prompt_ids) > 1:
                self._logits(np.asarray([prompt_ids[:-1]]), num_past=0)
            prefix = [np.array(state.state.data) for state in self._request.query_state()]
            scores: list[float] = []
            for batch in _batches(continuations, self._num_ids):
                scores += self._score_batch(prompt_ids, batch, prefix)
            return scores

    def _score_batch(
        self, prompt_ids: Sequence[int], batch: Sequence[Sequence[int]], prefix: Sequence[np.ndarray]
    ) -> list[float]:
        import openvino as ov

        longest = max(len(continuation) for continuation in batch)
        if longest == 0:
            return [0.0] * len(batch)
        ids = np.zeros((len(batch), longest), dtype=np.int64)  # what follows a continuation's end is not looked at
        for row, continuation in enumerate(batch):
            ids[row, : len(continuation)] = continuation
        self._request.reset_state()
        if len(prompt_ids) > 1:
            for state, kept in zip(self._request.query_state(), prefix, strict=True):
                state.state = ov.Tensor(np.repeat(kept, len(batch), axis=0))
        last = np.full((len(batch), 1), prompt_ids[-1])
        logits = self._logits(np.hstack([last, ids[:, :-1]]), num_past=len(prompt_ids) - 1)
        peak = logits.max(axis=-1, keepdims=True)
        log_sums = np.log(np.exp(logits - peak).sum(axis=-1, dtype=np.float64)) + peak[..., 0]  # (batch, longest)
        chosen = np.take_along_axis(logits, ids[..., None], axis=-1)[..., 0]
        return [float((chosen - log_sums)[row, : len(continuation)].sum()) for row, continuation in enumerate(batch)]

    def _logits(self, ids: np.ndarray, *, num_past: int) -> np.ndarray:
        """Return float32 logits of shape (batch, new, vocabulary) and add the ids to the state."""
        batch, num_new = ids.shape
        inputs = {
            "input_ids": ids.astype(np.int64),
            "attention_mask": np.ones((batch, num_past + num_new), dtype=np.int64),
            "position_ids": np.broadcast_to(np.arange(num_past, num_past + num_new), ids.shape).astype(np.int64),
            "beam_idx": np.arange(batch, dtype=np.int32),
        }
        self._request.infer(inputs)
        return np.asarray(self._request.get_tensor("logits").data, dtype=np.float32)

    @property
    def _num_ids(self) -> int:
        shape = self._request.get_compiled_model().output("logits").get_partial_shape()
        return int(shape[2].get_length())


def _batches(continuations: Sequence[Sequence[int]], num_ids: int) -> Iterator[Sequence[Sequence[int]]]:
    """Yield the continuations in groups whose logits fit into memory."""
    longest = max((len(continuation) for continuation in continuations), default=0)
    size = max(1, _SCORE_BYTES // (12 * num_ids * max(1, longest)))
    for begin in range(0, len(continuations), size):
        yield continuations[begin : begin + size]


def _properties(precision: ExportPrecision) -> dict[str, str]:
    """Return how products are computed, and how keys and values are kept.

    Both alike: the cache's default, u8, is half as large as bf16 but turns more tokens, and GenAI refuses a bf16
    cache beside float32 products. A CPU that does not multiply bfloat16 natively computes in float32.
    """
    is_exact = precision == "float32" or not wants_bfloat16("cpu")
    hint = "f32" if is_exact else "bf16"
    return {"INFERENCE_PRECISION_HINT": hint, "KV_CACHE_PRECISION": hint}


def _num_blocks(cache_shapes: Sequence[Sequence[int]], precision: ExportPrecision, kv_cache_bytes: int) -> int:
    bytes_per_value = 4 if _properties(precision)["KV_CACHE_PRECISION"] == "f32" else 2
    values_per_token = sum(heads * (key + value) for heads, key, value in cache_shapes)
    blocks = kv_cache_bytes // (values_per_token * bytes_per_value * _BLOCK_TOKENS)
    if blocks < 2:
        msg = f"kv_cache_bytes={kv_cache_bytes} holds no two blocks of {_BLOCK_TOKENS} tokens; give more"
        raise OptionValueError(msg)
    return blocks


def _blocks_for(request: GenerationRequest) -> int:
    tokens = len(request.prompt_ids) + request.options.max_new_tokens + _GUESSED_TOKENS
    return -(-tokens // _BLOCK_TOKENS)


def _sampling(options: GenerationOptions) -> dict[str, Any]:
    if options.is_greedy:
        return {}
    chosen = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "min_p": None if options.min_p is None else min(options.min_p, _LARGEST_MIN_P),
        "rng_seed": secrets.randbits(31) if options.seed is None else options.seed,
    }
    return {name: value for name, value in chosen.items() if value is not None}
