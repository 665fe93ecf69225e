"""Texts with a target marked, for a classifier that tells how a text speaks of one company among several."""

import re


def mark_target(text: str, target: str) -> str:
    """Return a text that begins with the target and has it in brackets wherever it stands.

    A classifier that is trained on such texts gives one answer for each company that a text names. Brackets that the
    text has itself become parentheses, so that no text can mark another target.

    Args:
        text: what is read.
        target: as the text writes it; in another case it is found too.

    Example:
        >>> mark_target("Apple falls [again] as Samsung rises", "Samsung")
        'Samsung: Apple falls (again) as [Samsung] rises'
    """
    plain = text.translate({ord("["): "(", ord("]"): ")"})
    marked = re.sub(re.escape(target), lambda found: f"[{found.group()}]", plain, flags=re.IGNORECASE)
    return f"{target}: {marked}"
