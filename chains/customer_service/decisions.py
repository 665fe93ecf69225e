"""Decision records: one per message, to be logged, counted and audited."""

import json
import logging
from collections.abc import Callable
from typing import Any

from chains.customer_service.messages import ConversationKey, Message
from chains.customer_service.transcript import Entry

_log = logging.getLogger(__name__)

Decision = dict[str, Any]
DecisionSink = Callable[[Decision], None]


def describe_decision(key: ConversationKey, message: Message, entry: Entry, *, with_text: bool = False) -> Decision:
    """Return the record of one message; without `with_text` it holds no word of customer, staff or assistant.

    Returns:
        JSON values. All that tells how an answer was found is None for a message of staff.
    """
    reply = entry.reply
    decision: Decision = {
        "owner": key.owner,
        "conversation": key.conversation,
        "message_id": message.id,
        "sender": message.sender,
        "time": message.time.isoformat(),
        "closes": message.closes,
        "route": reply and reply.route,
        "intent": reply and reply.intent,
        "probability": reply and reply.probability,
        "reason": reply and reply.reason,
        "citations": [citation.model_dump(exclude={"quote"}) for citation in reply.citations] if reply else [],
        "steps": [step.model_dump() for step in reply.steps] if reply else [],
    }
    if with_text:
        answered = next((turn for turn in entry.turns if turn.speaker == "assistant"), None)
        decision["text"] = message.text
        decision["question"] = answered and answered.question
        decision["reply"] = reply and reply.text
    return decision


def log_decision(decision: Decision) -> None:
    """Write a decision as one line of JSON to the log of this module, at level INFO."""
    _log.info("%s", json.dumps(decision, ensure_ascii=False))
