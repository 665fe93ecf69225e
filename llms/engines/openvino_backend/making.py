"""The making of an export for OpenVINO GenAI, accepted only when its tokens equal torch's.

The decoder is traced with explicit keys and values, which then become states of the graph; OpenVINO GenAI turns
that graph into paged attention. What paged attention cannot express (attention windows, ALiBi, other caches) is
refused with a reason, so that the caller can take the torch engine.

Weights are never in memory as a whole: they stay in their memory-mapped files until each is put into its stored form.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.engines.memory import forgetting_file_pages, give_memory_back
from llms.engines.openvino_backend.refusal import refusal
from llms.errors import EngineError
from llms.loading import FROM_FOLDER, quiet_loading
from llms.openvino_export import ExportPrecision, write_manifest

if TYPE_CHECKING:
    import openvino as ov
    from transformers import PreTrainedModel


_PROBE_SIZES = (5, 37, 150)  # tokens; below, across and above the 32 tokens of a block of the paged cache
_PROBE_ANSWER = 16
_LONGEST_PROBE = 600  # a window beyond this is too slow to look past for every model
_TIE = 1e-3  # two logits closer than this are a tie, which float32 sums in another order may turn
_WINDOW_KEYS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size")


def make_export(folder: Path, work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]) -> None:
    """Write an export into an empty folder, its manifest last.

    Raises:
        EngineError: if this model cannot run there.
    """
    from llms.engines.openvino_backend.graph import cache_shapes
    from llms.engines.openvino_backend.matrices import load_decoder
    from llms.engines.torch_backend.engine import end_token_ids

    model = load_decoder(folder)
    shapes = cache_shapes(model)
    prompts = _probe_prompts(model)
    text_end_id = _write_tokenizer(folder, work)
    model.config.save_pretrained(work)
    weights = sorted(folder.glob("*.safetensors"))
    _write_graph(model, shapes, work, precision=precision, weights=weights)
    give_memory_back()
    answers = _openvino_answers(work, prompts)
    with forgetting_file_pages(*weights):
        verified = _verify(model, prompts, answers, precision)
    manifest = {
        "identity": identity,
        "verified": verified,
        "cache_shapes": shapes,  # per layer: heads, size of a key, size of a value
        "context_tokens": _context_tokens(model),
        "end_ids": sorted(end_token_ids(model)),
        "text_end_id": text_end_id,  # the tokenizer's own; it ends constrained answers of a model that names none
    }
    write_manifest(work, manifest)


def _write_graph(
    model: "PreTrainedModel",
    shapes: Sequence[tuple[int, int, int]],
    work: Path,
    *,
    precision: ExportPrecision,
    weights: Sequence[Path],
) -> None:
    import openvino as ov

    from llms.engines.openvino_backend.graph import stateful_graph
    from llms.engines.openvino_backend.matrices import num_tokens_of, takes_groups
    from llms.engines.openvino_backend.weights import store_weights

    graph = stateful_graph(model, shapes)
    with forgetting_file_pages(*weights):
        store_weights(graph, precision, vocabulary=num_tokens_of(model), takes_groups=takes_groups(model))
        ov.save_model(graph, work / "openvino_model.xml", compress_to_fp16=False)


# what lies beside the graph


def _context_tokens(model: "PreTrainedModel") -> int:
    config: Any = model.config.get_text_config(decoder=True)
    return int(getattr(config, "max_position_embeddings", 0) or 2**31)


def _write_tokenizer(folder: Path, work: Path) -> int | None:
    """Write the tokenizer as OpenVINO graphs and return the id of its end token.

    GenAI wants the graphs, and its grammars read the vocabulary from them.
    """
    import openvino as ov
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
        graphs = convert_tokenizer(tokenizer, with_detokenizer=True)
        _blank_control_tokens(graphs[1], tokenizer.all_special_ids)
    except Exception as error:  # each kind of tokenizer fails in its own way
        raise EngineError(refusal(f"its tokenizer cannot be converted ({error})")) from error
    for graph, name in zip(graphs, ("tokenizer", "detokenizer"), strict=True):
        ov.save_model(graph, work / f"openvino_{name}.xml")
    end_id: int | None = tokenizer.eos_token_id
    return end_id


def _blank_control_tokens(detokenizer: "ov.Model", control_ids: Sequence[int]) -> None:
    """Give control tokens no text: a grammar would take `<|im_start|>` for a text like any other."""
    from openvino import opset13 as ops

    for node in detokenizer.get_ops():
        if node.get_type_name() == "VocabDecoder":  # its inputs: ids, where texts begin, where they end, all bytes
            begins, ends = (node.input_value(index).get_node().get_data().copy() for index in (1, 2))
            ends[control_ids] = begins[control_ids]
            node.input(2).replace_source_output(ops.constant(ends).output(0))


# the proof: the same greedy tokens


def _verify(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    precision: ExportPrecision,
) -> dict[str, Any]:
    """Return what was compared, or refuse the export if a token differs from that of torch with the same weights."""
    from llms.engines.openvino_backend.matrices import with_stored_weights

    with with_stored_weights(model, precision):
        for prompt, answer in zip(prompts, answers, strict=True):
            index = _first_difference(model, prompt, answer)
            if index is not None:
                msg = f"its tokens differ from torch's at position {index} after a prompt of {len(prompt)} tokens"
                raise EngineError(refusal(msg))
    return {"prompt_tokens": [len(prompt) for prompt in prompts], "answer_tokens": _PROBE_ANSWER}


def _probe_prompts(model: "PreTrainedModel") -> list[list[int]]:
    import numpy as np

    config: Any = model.config.get_text_config(decoder=True)
    context = _context_tokens(model)
    windows = [getattr(config, key, None) for key in _WINDOW_KEYS]
    longest = max((size for size in windows if isinstance(size, int) and size < context), default=0)
    if longest > _LONGEST_PROBE:
        raise EngineError(refusal(f"it attends to a window of {longest} tokens"))
    sizes = {*_PROBE_SIZES, longest + 8} if longest else set(_PROBE_SIZES)
    random = np.random.default_rng(0)
    fitting = sorted({min(size, context - _PROBE_ANSWER) for size in sizes})
    return [random.integers(0, config.vocab_size, size=size).tolist() for size in fitting]


def _openvino_answers(export: Path, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    import numpy as np
    import openvino as ov
    import openvino_genai as genai

    config = genai.GenerationConfig(max_new_tokens=_PROBE_ANSWER, do_sample=False, ignore_eos=True)
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = sum(-(-(len(prompt) + _PROBE_ANSWER) // 32) for prompt in prompts) + 1
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # of what is multiplied with integers
    }
    tensors = [ov.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
    try:
        with forgetting_file_pages(export / "openvino_model.bin"):
            pipeline = genai.ContinuousBatchingPipeline(export, scheduler, "CPU", exact)
            results = pipeline.generate(tensors, [config] * len(prompts))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EngineError(refusal(f"OpenVINO GenAI does not take it ({reason})")) from error
    return [list(result.m_generation_ids[0]) for result in results]


def _first_difference(model: "PreTrainedModel", prompt: Sequence[int], answer: Sequence[int]) -> int | None:
    """Return the first position at which torch's likeliest token is clearly another one, or None."""
    import torch

    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]  # (answer, vocabulary)
    found = logits.gather(1, torch.tensor([answer]).T)[:, 0]
    differences = (logits.max(-1).values - found > _TIE).nonzero()
    return int(differences[0]) if len(differences) else None
