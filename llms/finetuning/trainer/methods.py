"""Training methods: all weights, the last layer, or a small addition that PEFT makes."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llms.errors import OptionValueError, UnsupportedOptionError

if TYPE_CHECKING:
    from torch import nn


Method = Literal["full", "head", "lora", "dora", "adalora", "ia3", "adapter", "prefix", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """What one has to know of a method.

    Attributes:
        rate_factor: its learning rate as a multiple of the one for full training.
        rank: default size of what it adds; None where there is no such size.
        can_merge: whether what was learnt can be added to the weights, so that nothing is slower afterwards.
        can_resume: whether a checkpoint holds all that the method needs to go on.
        summary: one line for people.
    """

    rate_factor: float
    rank: int | None
    can_merge: bool
    can_resume: bool = True
    summary: str


METHODS: dict[Method, MethodFacts] = {
    "full": MethodFacts(rate_factor=1, rank=None, can_merge=False, summary="every weight"),
    "head": MethodFacts(rate_factor=1, rank=None, can_merge=False, summary="the last layer only; seconds"),
    "lora": MethodFacts(rate_factor=20, rank=16, can_merge=True, summary="low-rank updates of the weights"),
    "dora": MethodFacts(rate_factor=20, rank=16, can_merge=True, summary="LoRA with the weights' lengths apart"),
    "adalora": MethodFacts(
        rate_factor=30, rank=12, can_merge=True, can_resume=False, summary="LoRA whose ranks move where they count"
    ),
    "ia3": MethodFacts(rate_factor=60, rank=None, can_merge=True, summary="factors on activations; smallest"),
    "adapter": MethodFacts(rate_factor=10, rank=64, can_merge=False, summary="a bottleneck network after each layer"),
    "prefix": MethodFacts(rate_factor=100, rank=20, can_merge=False, summary="learnt keys and values before the text"),
    "auto": MethodFacts(
        rate_factor=1, rank=None, can_merge=False, summary="head, or more where held-out rows say that it pays"
    ),
}


def check_method(method: str, *, allowed: Sequence[str], keep_adapter: bool) -> None:
    """Refuse a method that does not exist, or not for this task.

    Raises:
        OptionValueError: if there is no such method.
        UnsupportedOptionError: if the task does not offer it.
        OptionValueError: if `keep_adapter` is set where the base itself is changed.

    Example:
        >>> check_method("lroa", allowed=["full", "lora"], keep_adapter=False)
        Traceback (most recent call last):
        llms.errors.OptionValueError: method must be one of full, lora, got 'lroa'
    """
    if method not in METHODS:
        msg = f"method must be one of {', '.join(allowed)}, got {method!r}"
        raise OptionValueError(msg)
    if method not in allowed:
        msg = f"method {method!r} makes no sense for this task; it offers {', '.join(allowed)}"
        raise UnsupportedOptionError(msg)
    if keep_adapter and method == "full":
        msg = "keep_adapter needs a method that leaves the base as it is, 'full' does not; take lora, for instance"
        raise OptionValueError(msg)


def apply_method(body: Any, method: Method, *, rank: int | None, num_steps: int) -> Any:
    """Return `body`, a transformers model, so that only what the method trains needs gradients.

    Args:
        body: a model without a task's head, of which "head" freezes everything; or a causal model.
        rank: size of what is added; None is the method's default.
        num_steps: steps of the whole training, over which adalora moves its ranks.
    """
    if method == "full":
        return body
    if method == "head":
        return body.requires_grad_(requires_grad=False)
    size = rank or METHODS[method].rank or 0
    if method == "adapter":
        from llms.encoder.bottleneck import add_bottlenecks

        return add_bottlenecks(body, size=size)
    from peft import get_peft_model

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an older name
            return get_peft_model(body, _peft_config(body, method, size, num_steps=num_steps))
    except ValueError as error:
        msg = f"method {method!r} does not know the layers of a {type(body).__name__}: {error}; take lora or full"
        raise UnsupportedOptionError(msg) from error


def merge_method(body: Any) -> Any:
    """Return the plain model with what a mergeable method learnt added to its weights.

    Raises:
        UnsupportedOptionError: if the method cannot be merged.
    """
    if not _is_peft(body):
        return body
    kind = str(body.active_peft_config.peft_type.value).lower()
    if kind == "prefix_tuning":
        msg = "what prefix tuning learns cannot be merged into the weights; save it as an adapter"
        raise UnsupportedOptionError(msg)
    return body.merge_and_unload()


def save_adapter(body: Any, folder: Path) -> None:
    """Write what was learnt, and nothing of the base, into `folder`."""
    from llms.encoder.bottleneck import save_bottlenecks

    if not _is_peft(body):
        save_bottlenecks(body, folder)
        return
    body.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's form of a model card, with nothing filled in


def orthogonality_loss(body: Any) -> Any:
    """Return the part of adalora's loss that PEFT only adds to models with a loss of their own; 0 for others.

    References:
        Zhang et al., "Adaptive budget allocation for parameter-efficient fine-tuning", ICLR 2023, equation 4.
    """
    import torch

    if not _is_peft(body) or str(body.active_peft_config.peft_type.value) != "ADALORA":
        return 0.0
    total: Any = 0.0
    count = 0
    for name, parameter in body.named_parameters():
        if parameter.requires_grad and ("lora_A" in name or "lora_B" in name):
            product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            total = total + torch.linalg.matrix_norm(product - torch.eye(product.shape[0], device=product.device))
            count += 1
    return body.active_peft_config.orth_reg_weight * total / max(count, 1)


def count_parameters(network: "nn.Module") -> tuple[int, int]:
    """Return how many weights are trained, and how many there are."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, is_trained in sizes if is_trained), sum(size for size, _ in sizes)


def _peft_config(body: Any, method: Method, size: int, *, num_steps: int) -> Any:
    from peft import AdaLoraConfig, IA3Config, LoraConfig, PrefixTuningConfig, TaskType

    task = TaskType.CAUSAL_LM if body.get_output_embeddings() is not None else TaskType.FEATURE_EXTRACTION
    if method == "prefix":
        return PrefixTuningConfig(task_type=task, num_virtual_tokens=size)
    if method == "ia3":
        return IA3Config(task_type=task)
    if method == "adalora":
        return AdaLoraConfig(
            task_type=task,
            init_r=size,
            target_r=max(1, 2 * size // 3),
            lora_alpha=2 * size,
            target_modules=_linear_layers(body),
            total_step=max(num_steps, 10),
            tinit=max(num_steps, 10) // 10,
            tfinal=max(num_steps, 10) // 3,
            deltaT=max(1, num_steps // 50),
        )
    return LoraConfig(
        task_type=task,
        r=size,
        lora_alpha=2 * size,
        lora_dropout=0.0,
        use_dora=method == "dora",
        target_modules=_linear_layers(body),
    )


def _linear_layers(body: Any) -> list[str]:
    """Return the names of the layers that multiply; neither the output layer nor a pooler, which gets no gradient."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = body.get_output_embeddings()
    return [
        name
        for name, module in body.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output and "pooler" not in name.split(".")
    ]


def _is_peft(body: Any) -> bool:
    from peft import PeftModel

    return isinstance(body, PeftModel)
