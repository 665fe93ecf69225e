"""Texts to the smallest pieces that get a label of their own: words, Chinese characters, signs."""

import functools
import unicodedata

# as BERT's tokenizers have it: Chinese has no spaces, so each of these is a word
_HAN_RANGES = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2FA1F),
    (0x30000, 0x3347F),
)


def split_words(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word, in the order of the text.

    A Chinese character is a word, and so is every sign; letters and digits that stand together are one. Thus a span
    may end before a full stop, and words are the same whether or not a tokenizer put spaces between them.

    Example:
        >>> text = "Lyon's 退货, 3.5"
        >>> [text[start:end] for start, end in split_words(text)]
        ['Lyon', "'", 's', '退', '货', ',', '3', '.', '5']
    """
    words: list[tuple[int, int]] = []
    begin = -1  # of the word that is open
    for place, character in enumerate(text):
        kind = _kind(character)
        if kind == "letter":
            begin = place if begin < 0 else begin
            continue
        if begin >= 0:
            words.append((begin, place))
            begin = -1
        if kind == "sign":
            words.append((place, place + 1))
    if begin >= 0:
        words.append((begin, len(text)))
    return words


def is_han(character: str) -> bool:
    """Return whether a character is written without spaces around it, as Chinese is."""
    return any(first <= ord(character) <= last for first, last in _HAN_RANGES)


@functools.lru_cache(maxsize=65_536)
def _kind(character: str) -> str:
    if character.isspace() or unicodedata.category(character) in ("Cc", "Zs", "Zl", "Zp"):
        return "space"
    # marks belong to the letter before them: in Hindi a vowel is one
    return "sign" if is_han(character) or unicodedata.category(character)[0] in "PS" else "letter"
