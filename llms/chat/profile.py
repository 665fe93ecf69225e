"""What a chat model can do, for LangChain's middleware: read from its folder, without loading the model."""

import json
from pathlib import Path
from typing import Any

from langchain_core.language_models import ModelProfile

from llms.chat.tool_formats import ANALYSIS_CHANNEL, THOUGHT_CHANNEL

_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")
_REASONING_MARKS = ("<think>", "</think>", "[THINK]", THOUGHT_CHANNEL, ANALYSIS_CHANNEL)


def read_profile(folder: Path, *, name: str) -> ModelProfile:
    """Return the abilities of the chat model in a checked folder, and how many tokens it reads if its files say so.

    References:
        LangChain's `ModelProfile`. Its `structured_output` stays out, since agents would then constrain every answer
        to the final form, and no tool could be called; they ask for that form by a tool instead.
    """
    profile = ModelProfile(
        name=name,
        open_weights=True,
        text_inputs=True,
        image_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        pdf_inputs=False,
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=has_reasoning(_chat_template(folder)),
        tool_calling=True,
        tool_choice=True,
        tool_call_streaming=True,
        temperature=True,
    )
    if context_tokens := _context_tokens(folder):
        profile["max_input_tokens"] = context_tokens
    return profile


def has_reasoning(template: str) -> bool:
    """Return whether answers under a chat template may hold reasoning apart from what is said."""
    return any(mark in template for mark in _REASONING_MARKS)


def _context_tokens(folder: Path) -> int | None:
    config = _read_json(folder / "config.json")
    text_part = config.get("text_config")  # of a model that also reads images
    for part in (config, text_part if isinstance(text_part, dict) else {}):
        for key in _CONTEXT_KEYS:
            if isinstance(value := part.get(key), int) and value > 0:
                return value
    return None


def _chat_template(folder: Path) -> str:
    if (path := folder / "chat_template.jinja").is_file():
        return path.read_text("utf-8")
    return str(_read_json(folder / "tokenizer_config.json").get("chat_template") or "")


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}
