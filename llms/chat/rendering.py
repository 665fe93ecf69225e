"""Rendering of chat templates to token ids, here or in a process whose time and memory are limited.

A template is a program that came with a model's folder; transformers' sandbox keeps it from files and objects, but lets
it compute and fill memory without end.
"""

import functools
import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.chat.tool_formats import Tool
from llms.errors import ModelFolderError, OptionValueError
from llms.loading import open_tokenizer
from llms.processes import LimitedProcess, OverLimitError, WorkLimits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turn = dict[str, Any]

_LIMITS = WorkLimits(wall_s=120.0, memory_bytes=1_000_000_000, reply_bytes=100_000_000)
_MIN_CPU_S = 3
_CHARS_PER_CPU_S = 100_000  # tokenising takes a tenth of that


def render_turns(
    tokenizer: "PreTrainedTokenizerBase",
    turns: Sequence[Turn],
    tools: Sequence[Tool] | None,
    options: Mapping[str, Any],
    *,
    add_generation_prompt: bool = True,
) -> list[int]:
    """Return the token ids of turns under the template of a tokenizer, those of control tokens in texts as plain text.

    Args:
        tools: in the template's own form; None where it has none.
        options: further variables of the template.
        add_generation_prompt: whether the answer of the model comes next.

    Raises:
        ModelFolderError: if the template refuses them.
    """
    try:
        encoded: Any = tokenizer.apply_chat_template(
            list(turns),
            tools=None if tools is None else list(tools),
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
            **options,
        )
    except MemoryError:
        raise
    except Exception as error:  # whatever a program in a model's folder may raise
        roles = ", ".join(turn["role"] for turn in turns)
        msg = f"the model's chat template refuses the roles {roles}: {error}"
        raise ModelFolderError(msg) from error
    ids: list[int] = list(encoded["input_ids"])
    return ids


class TemplateProcess:
    """Renders turns as `render_turns` does, in a process of its own; a template over its limits is refused.

    Args:
        folder: of the tokenizer and its template.
    """

    def __init__(self, folder: Path) -> None:
        self._process = LimitedProcess("llms.chat.rendering:prepare", [str(folder)], limits=_LIMITS)
        self._turn = threading.Lock()  # it renders one prompt at a time

    def render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool] | None,
        options: Mapping[str, Any],
        *,
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Return the token ids of turns; see `render_turns`.

        Raises:
            ModelFolderError: if the template refuses them, or takes too much for them.
            OptionValueError: if an option is no JSON.
        """
        request = {
            "turns": list(turns),
            "tools": None if tools is None else list(tools),
            "options": dict(options),
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            num_chars = len(json.dumps(request))
        except (TypeError, ValueError) as error:
            msg = f"template_options have to be JSON for a model in a process of its own: {error}"
            raise OptionValueError(msg) from error
        try:
            with self._turn:
                answer = self._process.ask(request, cpu_s=_MIN_CPU_S + math.ceil(num_chars / _CHARS_PER_CPU_S))
        except OverLimitError as error:
            msg = f"the model's chat template {error} for this prompt; use another template, or a shorter prompt"
            raise ModelFolderError(msg) from error
        if "error" in answer:
            raise ModelFolderError(answer["error"])
        ids: list[int] = answer["ids"]
        return ids


@functools.lru_cache(maxsize=8)
def shared_template_process(folder: Path, _stamp: object) -> TemplateProcess:
    """Return the process for a folder; the same files share one."""
    return TemplateProcess(folder)


def prepare(folder: str) -> Callable[[Mapping[str, Any], bytes], Mapping[str, Any]]:
    """Return what answers requests with token ids, in the process of templates."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # transformers would load it, and needs it for nothing here
    logging.getLogger("transformers").addFilter(lambda record: "PyTorch was not found" not in record.getMessage())
    tokenizer = open_tokenizer(Path(folder))

    def work(request: Mapping[str, Any], _raw: bytes) -> Mapping[str, Any]:
        try:
            ids = render_turns(
                tokenizer,
                request["turns"],
                request["tools"],
                request["options"],
                add_generation_prompt=request["add_generation_prompt"],
            )
        except ModelFolderError as error:
            return {"error": str(error)}
        return {"ids": ids}

    return work
