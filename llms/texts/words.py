"""Words, Chinese characters and punctuation of a text as spans: the smallest pieces that get a label of their own."""

import functools
import unicodedata

from llms.texts.scripts import is_han


def token_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word, in the order of the text.

    A Chinese character is a word, and so is every sign; letters and digits that stand together are one. Thus a span
    may end before a full stop, and words are the same whether or not a tokenizer put spaces between them.

    Example:
        >>> text = "Lyon's 退货, 3.5"
        >>> [text[start:end] for start, end in token_spans(text)]
        ['Lyon', "'", 's', '退', '货', ',', '3', '.', '5']
    """
    words: list[tuple[int, int]] = []
    begin = -1  # of the word that is open
    for index, character in enumerate(text):
        kind = _kind(character)
        if kind == "letter":
            begin = index if begin < 0 else begin
            continue
        if begin >= 0:
            words.append((begin, index))
            begin = -1
        if kind == "sign":
            words.append((index, index + 1))
    if begin >= 0:
        words.append((begin, len(text)))
    return words


@functools.lru_cache(maxsize=65_536)
def _kind(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ("Cc", "Zs", "Zl", "Zp"):
        return "space"
    # marks belong to the letter before them: in Hindi a vowel is one
    return "sign" if is_han(character) or unicodedata.category(character)[0] in "PS" else "letter"
