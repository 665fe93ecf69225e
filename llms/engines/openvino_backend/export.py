"""Any transformers decoder folder as an OpenVINO GenAI folder, accepted only when its tokens equal torch's.

The decoder is traced with explicit keys and values, which then become states of the graph; OpenVINO GenAI turns
that graph into paged attention. What paged attention cannot express (attention windows, ALiBi, other caches) is
refused with a reason, so that the caller can take the torch engine.
"""

import contextlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.engines.openvino_backend.graph import cache_shapes, refusal, stateful_graph
from llms.engines.torch_backend.engine import end_token_ids
from llms.errors import EngineError, ModelFolderError
from llms.loading import FROM_FOLDER, folder_fingerprint, loading_from, quiet_loading
from llms.openvino_export import ExportPrecision, export_folder, export_once, read_manifest, write_manifest

if TYPE_CHECKING:
    import openvino as ov
    from transformers import PreTrainedModel


_PACKAGES = ("openvino", "openvino_genai", "openvino_tokenizers", "nncf")
_RECIPE = "1"  # raised when this module writes something else, so that older exports are made anew
_PROBE_SIZES = (5, 37, 150)  # tokens; below, across and above the 32 tokens of a block of the paged cache
_PROBE_ANSWER = 16
_LONGEST_PROBE = 600  # a window beyond this is too slow to look past for every model
_TIE = 1e-3  # two logits closer than this are a tie, which float32 sums in another order may turn
_WINDOW_KEYS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size")


def export_openvino(folder: Path, *, precision: ExportPrecision = "bfloat16") -> Path:
    """Return a folder that OpenVINO GenAI can run, made from a transformers folder once and then kept.

    It lies beside the model in `openvino/<precision>`, or under `~/.cache/tunechain` if the model's folder cannot be
    written. It is made anew when weights, tokenizer, configuration or the libraries change.

    Args:
        folder: a checked model folder with a decoder and its tokenizer.
        precision: "float32" keeps the weights as they are, "bfloat16" halves them, "int8" quarters them.

    Raises:
        EngineError: if a package is missing, or if this model cannot run there with the tokens that torch gives;
            the message says why.
    """
    wanted = _identity(folder, precision)
    return export_once(
        export_folder(folder) / precision,
        lambda work: _write_export(folder, work, precision=precision, identity=wanted),
        is_current=lambda export: read_manifest(export).get("identity") == wanted,
        packages=_PACKAGES,
    )


def _identity(folder: Path, precision: str) -> dict[str, str]:
    libraries = {name: version(name.replace("_", "-")) for name in (*_PACKAGES, "transformers", "torch")}
    return {"fingerprint": folder_fingerprint(folder), "dtype": precision, "recipe": _RECIPE, **libraries}


def _write_export(folder: Path, work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]) -> None:
    import openvino as ov

    model = _load_decoder(folder)
    shapes = cache_shapes(model)
    context_tokens, end_ids = _context_tokens(model), sorted(end_token_ids(model))
    text_end_id = _write_tokenizer(folder, work)
    model.config.save_pretrained(work)
    graph = stateful_graph(model, shapes)
    path = work / "openvino_model.xml"
    ov.save_model(graph, path, compress_to_fp16=False)
    verified = _verify(model, work)
    del model
    if precision != "float32":
        _compress(graph, work, precision=precision)
    manifest = {
        "identity": identity,
        "verified": verified,
        "cache_shapes": shapes,  # per layer: heads, size of a key, size of a value
        "context_tokens": context_tokens,
        "end_ids": end_ids,
        "text_end_id": text_end_id,  # the tokenizer's own; it ends constrained answers of a model that names none
    }
    write_manifest(work, manifest)


# from the folder to a decoder that can be traced


def _load_decoder(folder: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with loading_from(folder, "a causal language model"):
            config: Any = AutoConfig.from_pretrained(folder, **FROM_FOLDER)
            if config.is_encoder_decoder:
                raise EngineError(refusal("it is an encoder with a decoder"))
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                **FROM_FOLDER,
            )
    except ModelFolderError as error:
        reason = "its attention has no SDPA form" if "scaled_dot_product" in str(error) else str(error)
        raise EngineError(refusal(reason)) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise EngineError(refusal(f"it lacks weights ({missing[0]}, ...)"))
    return model.eval()  # type: ignore[no-any-return]


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


def _compress(graph: "ov.Model", work: Path, *, precision: ExportPrecision) -> None:
    import openvino as ov

    if precision == "int8":
        import nncf

        with quiet_loading("nncf"), contextlib.redirect_stdout(None):  # its progress bar has no switch
            graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    ov.save_model(graph, work / "openvino_model.xml", compress_to_fp16=True)


# the proof: the same greedy tokens


def _verify(model: "PreTrainedModel", export: Path) -> dict[str, Any]:
    """Return what was compared, or refuse the export if a token differs from torch's."""
    prompts = _probe_prompts(model)
    answers = _openvino_answers(export, prompts)
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
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    tensors = [ov.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
    try:
        pipeline = genai.ContinuousBatchingPipeline(export, genai.SchedulerConfig(), "CPU", exact)
        results = pipeline.generate(tensors, [config] * len(prompts))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EngineError(refusal(f"OpenVINO GenAI does not take it ({reason})")) from error
    return [list(result.m_generation_ids[0]) for result in results]


def _first_difference(model: "PreTrainedModel", prompt: Sequence[int], answer: Sequence[int]) -> int | None:
    """Return the first position at which torch's greedy token is clearly another one, or None."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([list(prompt)])
    # the folder's own may sample, or end early
    model.generation_config = GenerationConfig(pad_token_id=0)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        output: Any = model.generate(  # type: ignore[operator]
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=len(answer),
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    expected = output.sequences[0, len(prompt) :].tolist()
    for index, (right, found) in enumerate(zip(expected, answer, strict=True)):
        if right != found:
            logits = output.logits[index][0]
            return None if float(logits[right] - logits[found]) < _TIE else index
    return None
