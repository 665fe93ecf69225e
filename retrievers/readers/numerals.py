"""Numbers of lists and headings as documents show them: letters, Roman, Chinese, circled and others."""

from collections.abc import Callable

_ROMAN = (
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
    (9, "ix"),
    (5, "v"),
    (4, "iv"),
    (1, "i"),
)
_CHINESE = ("零一二三四五六七八九", "十百千")
_CHINESE_LEGAL = ("零壹贰叁肆伍陆柒捌玖", "拾佰仟")
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳㉑㉒㉓㉔㉕㉖㉗㉘㉙㉚㉛㉜㉝㉞㉟㊱㊲㊳㊴㊵㊶㊷㊸㊹㊺㊻㊼㊽㊾㊿"
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
_MAX_REPEATED = 20  # letters: a file may ask for the hundred millionth


def numeral(number: int, style: str) -> str:
    """Return a number in a style of Word (`w:numFmt`) or CSS; in digits if the style cannot show it or is not known.

    Word and CSS agree up to 26: then Word repeats the letter (aa, bb), CSS counts on (aa, ab).

    Example:
        >>> [numeral(28, style) for style in ("decimal", "lowerRoman", "upperLetter", "upper-alpha")]
        ['28', 'xxviii', 'BB', 'AB']
        >>> [numeral(110, "chineseCountingThousand"), numeral(12, "cjk-ideographic"), numeral(7, "decimalZero")]
        ['一百一十', '十二', '07']
    """
    shown = _STYLES[style](number) if style in _STYLES and number > 0 else ""
    return shown or str(number)


def _roman(number: int) -> str:
    if number >= 4000:
        return ""
    text = ""
    for value, sign in _ROMAN:
        text += sign * (number // value)
        number %= value
    return text


def _repeated_letter(number: int) -> str:
    times, place = divmod(number - 1, 26)
    return chr(ord("a") + place) * (times + 1) if times < _MAX_REPEATED else ""


def _counted_letters(number: int) -> str:
    text = ""
    while number:
        number, place = divmod(number - 1, 26)
        text = chr(ord("a") + place) + text
    return text


def _chinese(number: int, signs: tuple[str, str] = _CHINESE) -> str:
    digits, units = signs
    if number >= 10_000:
        return ""
    text = ""
    for place in range(3, -1, -1):
        digit = number // 10**place % 10
        if digit:
            text += digits[digit] + (units[place - 1] if place else "")
        elif text and not text.endswith(digits[0]) and number % 10**place:
            text += digits[0]
    return text[1:] if text.startswith(digits[1] + units[0]) and digits == _CHINESE[0] else text


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
    return f"{number}{ending}"


def _one_of(signs: str) -> Callable[[int], str]:
    return lambda number: signs[number - 1] if number <= len(signs) else ""


_STYLES: dict[str, Callable[[int], str]] = {
    "decimalZero": lambda number: f"{number:02}",
    "lowerLetter": _repeated_letter,
    "upperLetter": lambda number: _repeated_letter(number).upper(),
    "lowerRoman": _roman,
    "upperRoman": lambda number: _roman(number).upper(),
    "ordinal": _ordinal,
    "numberInDash": lambda number: f"- {number} -",
    "decimalFullWidth": lambda number: str(number).translate(_FULL_WIDTH),
    "decimalFullWidth2": lambda number: str(number).translate(_FULL_WIDTH),
    "decimalEnclosedCircle": _one_of(_CIRCLED),
    "decimalEnclosedCircleChinese": _one_of(_CIRCLED),
    "decimalEnclosedParen": lambda number: f"({number})",
    "decimalEnclosedFullstop": lambda number: f"{number}.",
    "ideographEnclosedCircle": lambda number: f"({_chinese(number)})" if _chinese(number) else "",
    "ideographTraditional": _one_of(_STEMS),
    "ideographZodiac": _one_of(_BRANCHES),
    "chineseLegalSimplified": lambda number: _chinese(number, _CHINESE_LEGAL),
    "decimal-leading-zero": lambda number: f"{number:02}",
    "lower-alpha": _counted_letters,
    "lower-latin": _counted_letters,
    "upper-alpha": lambda number: _counted_letters(number).upper(),
    "upper-latin": lambda number: _counted_letters(number).upper(),
    "lower-roman": _roman,
    "upper-roman": lambda number: _roman(number).upper(),
    "cjk-heavenly-stem": _one_of(_STEMS),
    "cjk-earthly-branch": _one_of(_BRANCHES),
    **dict.fromkeys(
        [
            "chineseCounting",
            "chineseCountingThousand",
            "ideographDigital",
            "japaneseCounting",
            "japaneseDigitalTenThousand",
            "koreanDigital",
            "taiwaneseCounting",
            "taiwaneseCountingThousand",
            "taiwaneseDigital",
            "cjk-ideographic",
            "cjk-decimal",
            "simp-chinese-informal",
            "trad-chinese-informal",
            "japanese-informal",
        ],
        _chinese,
    ),
}
