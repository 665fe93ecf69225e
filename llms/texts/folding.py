"""One form, and one key, for texts that readers take for the same: for comparing and searching, never for showing."""

import re
import unicodedata

# Unicode's property Equivalent_Unified_Ideograph for the CJK Radicals Supplement, which NFKC leaves as it is: PDF
# files of Chinese texts often hold a radical where the everyday character is meant.
_RADICALS = (
    "⺁厂 ⺂乛 ⺃乚 ⺄乙 ⺅亻 ⺆冂 ⺇𠘨 ⺈刀 ⺉刂 ⺊卜 ⺋㔾 ⺌小 ⺍小 ⺎兀 ⺏尣 ⺐尢 ⺑𡯂 ⺒巳 "
    "⺓幺 ⺔彑 ⺕彐 ⺖忄 ⺗心 ⺘扌 ⺙攵 ⺛旡 ⺜日 ⺝月 ⺞歺 ⺟母 ⺠民 ⺡氵 ⺢氺 ⺣灬 ⺤爫 ⺥爫 "
    "⺦丬 ⺧牛 ⺨犭 ⺩王 ⺪𤴔 ⺫目 ⺬示 ⺭礻 ⺮𥫗 ⺯糹 ⺰纟 ⺱罓 ⺲罒 ⺳㓁 ⺴冗 ⺵𦉫 ⺶羊 ⺷𦍌 "
    "⺸𦍋 ⺹耂 ⺺肀 ⺻聿 ⺼肉 ⺽𦥑 ⺾艹 ⺿艹 ⻀艹 ⻁虎 ⻂衤 ⻃覀 ⻄西 ⻅见 ⻆角 ⻇𧢲 ⻈讠 ⻉贝 "
    "⻊𧾷 ⻋车 ⻌辶 ⻍辶 ⻎辶 ⻏邑 ⻐钅 ⻑長 ⻒镸 ⻓长 ⻔门 ⻕𨸏 ⻖阝 ⻗雨 ⻘青 ⻙韦 ⻚页 ⻛风 "
    "⻜飞 ⻝食 ⻞𩙿 ⻟飠 ⻠饣 ⻡𩠐 ⻢马 ⻣骨 ⻤鬼 ⻥鱼 ⻦鸟 ⻧卤 ⻨麦 ⻩黄 ⻪黾 ⻫斉 ⻬齐 ⻭歯 "
    "⻮齿 ⻯竜 ⻰龙 ⻱龜 ⻲亀 ⻳龟 "
)
# variants in names, for which people type the everyday character
_VARIANTS = "𠮷吉 髙高 﨑崎"
_APOSTROPHES = "\u2018\u2019\u201b\u02bc\u2032"  # programs and keyboards set them by themselves
_QUOTES = "\u201c\u201d\u201e\u201f"
_MIDDLE_DOTS = "\u2022\u2027\u30fb"  # in Chinese and Japanese, between the parts of a foreign name
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d"
_PLAIN = (
    {pair[0]: pair[1] for pair in (_RADICALS + _VARIANTS).split()}
    | dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_QUOTES, '"')
    | dict.fromkeys(_MIDDLE_DOTS, "\u00b7")
    | {"\u301c": "~", "\u2044": "/"}
)
_NOT_PLAIN = re.compile(f"[{''.join(_PLAIN)}]")
_UNSEEN = re.compile(  # soft hyphen, joiners and other zero-width characters, marks of direction, variation selectors
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
# an exponent, the number of a note or a fraction, glued to a number by NFKC, would make another number of it
_RAISED = re.compile("(?<=\\d)(?=[\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u207b])")
_GLUED = re.compile(
    "(?<=\\d)(?=[\u00bc-\u00be\u2080-\u2089\u2150-\u215f\u2189\u2460-\u2473\u2488-\u249b\u24ea\u3251-\u325f\u32b1-\u32bf])"
)
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")


def fold_text(text: str, *, keep_case: bool = False) -> str:
    r"""Return the form in which a text equals every other that is read the same.

    Full-width, half-width and composed characters, ligatures and radicals become the everyday ones, digits of all
    scripts `0` to `9`, dashes and minus signs `-`, apostrophes `'`, any white space one space. What is not seen
    (zero-width characters, soft hyphens, marks of direction) and spaces at both ends go, and so does case. Exponents,
    fractions and circled numbers stay apart from the number before them. A folded text stays as it is when it is
    folded again.

    Args:
        keep_case: leave capital letters as they are, where they mean something.

    References:
        Unicode Standard Annex #15, "Unicode Normalization Forms" (NFKC), and its property
        Equivalent_Unified_Ideograph.

    Example:
        >>> fold_text(" Ｗar\u00adranty\u200b：10²–３ ⼿机 ")
        'warranty:10^2-3 手机'
    """
    if text.isascii():
        return " ".join((text if keep_case else text.lower()).split())
    seen = _GLUED.sub(" ", _RAISED.sub("^", _UNSEEN.sub("", text).replace("\u00b4", "'")))  # NFKC adds a space to it
    folded = _NOT_PLAIN.sub(lambda found: _PLAIN[found.group()], unicodedata.normalize("NFKC", seen))
    if not keep_case:
        # the small letter of some capitals is composed otherwise
        folded = unicodedata.normalize("NFKC", folded.casefold())
    plain = _FOREIGN_DIGIT.sub(lambda found: str(unicodedata.decimal(found.group())), folded)
    return " ".join(plain.split())


def text_key(text: str) -> str:
    """Return what is left of a text without case, spaces and punctuation; equal texts have equal keys.

    A text without any letter, such as a number or an emoji, is its own key: there the marks are what it says.

    Example:
        >>> text_key("Where's my CARD?!") == text_key("wheres my card")
        True
        >>> text_key("3.5") == text_key("35")
        False
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not any(character.isalpha() for character in folded):
        return text.strip()
    return "".join(character for character in folded if character.isalnum() or _is_mark(character))


def _is_mark(character: str) -> bool:
    """Return whether a character changes the letter before it, as vowel signs of Hindi and Thai do."""
    is_variation_selector = "\ufe00" <= character <= "\ufe0f"  # it chooses a picture, not a sound
    return unicodedata.category(character)[0] == "M" and not is_variation_selector
