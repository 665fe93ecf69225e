"""Names and answers of drafts written by a chat model; what it writes wrong is left as it was taken from the texts."""

import re
from collections.abc import Collection

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser

from chains.customer_service.learning.drafts import GroupDraft
from chains.customer_service.learning.placeholders import placeholders_of, without_placeholders
from chains.prompts import load_prompt
from llms.texts import fold_text

_PACKAGE = "chains.customer_service"
_NUM_WORDINGS = 6
_NUM_ANSWERS = 3
_MAX_NAME_CHARS = 40
_LENGTH_FACTOR = 2  # of the longest answer of the staff; a model that goes on longer made something up
_NAME = re.compile(r"^\W*(?:name|名称)\W*[:：]\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"^\W*(?:answer|回答)\W*[:：]\s*(.+)\Z", re.IGNORECASE | re.MULTILINE | re.DOTALL)


def write_draft(draft: GroupDraft, chat_model: BaseChatModel, *, slots: Collection[str] = ()) -> GroupDraft:
    """Return a draft with the name and the answer that a chat model writes from its wordings and answers.

    What does not have the form that is asked for, or holds a placeholder that is no slot, is not taken. A draft that
    fits an intent, or has no answers, is returned as it is. A person reads it in any case.
    """
    if draft.intent is not None or not draft.answers:
        return draft
    asked = "\n".join(f"- {wording}" for wording in draft.wordings[:_NUM_WORDINGS])
    given = "\n".join(f"- {answer.text}" for answer in draft.answers[:_NUM_ANSWERS])
    chain = load_prompt(_PACKAGE, "group", variables=[]) | chat_model | StrOutputParser()
    written = chain.invoke({"question": f"Requests:\n{asked}\n\nAnswers of the staff:\n{given}"})
    changes: dict[str, str] = {}
    if name := _to_name(_NAME.search(written)):
        changes["name"] = name
    longest = max(len(answer.text) for answer in draft.answers)
    answer = _ANSWER.search(written)
    if answer and _is_usable(text := answer[1].strip(), longest=longest, slots=slots):
        changes["template"] = text
    return draft.model_copy(update=changes)


def _to_name(found: re.Match[str] | None) -> str:
    """Return a name in the form of an intent, or "" where there is none."""
    words = re.findall(r"\w+", fold_text(found[1])) if found else []
    name = "_".join(words)
    return name if len(name) <= _MAX_NAME_CHARS else ""


def _is_usable(text: str, *, longest: int, slots: Collection[str]) -> bool:
    has_stray_brace = bool(set("{}") & set(without_placeholders(text)))
    return (
        bool(text)
        and len(text) <= _LENGTH_FACTOR * longest
        and not has_stray_brace
        and (set(placeholders_of(text)) <= set(slots))
    )
