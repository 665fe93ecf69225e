"""Clarifying questions between two intents, and the intent an answer chooses."""

import re

from chains.customer_service.options import ServiceOptions
from chains.customer_service.schema import OpenQuestion
from chains.customer_service.templates import TemplateBook
from llms import Classification
from retrievers import keyword_terms

_FIRST = re.compile(r"^\W*(?:(?:1|one|(?:the )?(?:first|former)|一)(?!\w)|第一|前者|前一)", flags=re.IGNORECASE)
_SECOND = re.compile(r"^\W*(?:(?:2|two|(?:the )?(?:second|latter)|二)(?!\w)|第二|后者|后一)", flags=re.IGNORECASE)
MAX_CHOICE_CHARS = 40  # "First, let me tell you how ..." chooses nothing


def two_likeliest(guess: Classification, templates: TemplateBook, options: ServiceOptions) -> tuple[str, str] | None:
    """Return the two likeliest intents if one of them is probably meant and both have an answer, else None."""
    likeliest = list(guess.probabilities.items())[:2]
    if len(likeliest) < 2 or not all(intent in templates for intent, _ in likeliest):
        return None
    # a probability tells between the intents; whether it is any of them is what `in_scope` says
    if guess.in_scope * sum(probability for _, probability in likeliest) < options.clarify_probability:
        return None
    return likeliest[0][0], likeliest[1][0]


def chosen_intent(message: str, question: OpenQuestion, guess: Classification, templates: TemplateBook) -> str | None:
    """Return the intent that `message` chooses, or None if it answers something else.

    "The first one" or "2" chooses by place, words of a title by name, and any other message by what the classifier
    makes of it, if that is one of the two.
    """
    first, second = question.intents[0], question.intents[-1]
    for pattern, intent in ((_FIRST, first), (_SECOND, second)):
        if len(message) <= MAX_CHOICE_CHARS and pattern.match(message):
            return intent
    words = set(keyword_terms(message))
    shared = {intent: len(words & _own_words(intent, question, templates)) for intent in question.intents}
    best = max(shared, key=shared.__getitem__)
    if shared[best] > 0 and sum(count == shared[best] for count in shared.values()) == 1:
        return best
    return guess.label if guess.accepted and guess.label in question.intents else None


def _own_words(intent: str, question: OpenQuestion, templates: TemplateBook) -> set[str]:
    """Return the words of an intent's title that no other title in the question has."""
    others = {word for other in question.intents if other != intent for word in keyword_terms(templates.title(other))}
    return set(keyword_terms(templates.title(intent))) - others
