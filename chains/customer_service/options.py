"""Options of customer service: thresholds, limits and fixed texts."""

from dataclasses import dataclass

from chains.customer_service.handover_summary import STAFF_WORDS, StaffWords
from chains.languages import Language
from llms.errors import OptionValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """When an answer is good enough, and what is said when none is.

    Attributes:
        min_relevance: passages below it are not answered from; in [0, 1], as `HybridRetriever` reports it; see
            `retrievers.threshold.fit_min_relevance`. Passages of a retriever that reports no relevance are trusted.
        intent_margin: how much more relevant a passage must be than the message resembles an intent that is not
            sure enough (its probability times the square of `in_scope`); else the message is about that intent.
        clarify_probability: the two likeliest intents are offered to the customer where one of them is right with
            this probability at least, and the message is in scope; 1 never asks.
        max_sentences: length of an answer made of quotes.
        max_message_chars: longer messages are refused.
        link_hosts: hosts whose links may stand in answers from the knowledge base, and hosts below them.
        clarify_text: the question between two intents, {first} and {second}.
        handover_text: what the customer reads when a person takes over.
        staff_language: of reasons and summaries, which staff read.
    """

    min_relevance: float = 0.35
    intent_margin: float = 0.15
    clarify_probability: float = 0.8
    max_sentences: int = 3
    max_message_chars: int = 4_000
    link_hosts: tuple[str, ...] = ()
    clarify_text: str = "What is it about: 1. {first}, or 2. {second}?"
    handover_text: str = "I am not sure about this one, so I am passing it to a colleague, who will get back to you."
    staff_language: Language = "en"

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        for name in ("min_relevance", "intent_margin", "clarify_probability"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} must lie in [0, 1], got {getattr(self, name)}"
                raise OptionValueError(msg)
        for name in ("max_sentences", "max_message_chars"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise OptionValueError(msg)
        if self.staff_language not in STAFF_WORDS:
            msg = f"staff_language must be one of {', '.join(STAFF_WORDS)}, got {self.staff_language!r}"
            raise OptionValueError(msg)
        if "{first}" not in self.clarify_text or "{second}" not in self.clarify_text:
            msg = f"clarify_text must hold {{first}} and {{second}}, got {self.clarify_text!r}"
            raise OptionValueError(msg)

    @property
    def staff_words(self) -> StaffWords:
        """What staff read, in their language."""
        return STAFF_WORDS[self.staff_language]
