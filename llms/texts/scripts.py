"""Writing systems: ranges of Chinese and Japanese characters, and whether a text is Chinese."""

import re

# Ranges for a character class of a regular expression. The words of stores on disk were cut with this one, so it stays
# as it is; `is_han` knows the rare characters beyond it, too.
HAN = "\u3400-\u9fff"
KANA = "\u3040-\u30ff"

# as BERT's tokenizers have it: Chinese has no spaces, so each of these is a word
_HAN_CHARACTER = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f\U00030000-\U0003347f]")


CHINESE_SHARE = 0.3  # of the letters of a sentence: "我的 iPhone 14 Pro 坏了" is Chinese


def is_han(character: str) -> bool:
    """Return whether a character is written without spaces around it, as Chinese is."""
    return _HAN_CHARACTER.match(character) is not None


def is_chinese(text: str, *, min_share: float) -> bool:
    """Return whether at least a share of a text's letters are Chinese characters; False for one without letters.

    Args:
        min_share: `CHINESE_SHARE` finds the language of a sentence, in which names stand in other letters; 0.5 how
            most of it is written.

    Example:
        >>> [is_chinese(text, min_share=0.3) for text in ("我的 Visa 卡丢了", "What does 退货 mean here?", "42")]
        [True, False, False]
    """
    letters = "".join(filter(str.isalpha, text))
    return bool(letters) and len(_HAN_CHARACTER.findall(letters)) >= min_share * len(letters)
