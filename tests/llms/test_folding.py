"""Texts that are read the same are the same once they are folded."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.texts import fold_text

SAME = {
    "a radical of Kangxi": ("⼿机⽤户", "手机用户"),
    "a radical of the supplement": ("⻓⻋⻚⻅⻢", "长车页见马"),
    "a compatibility ideograph": ("塚本 金額", "塚本 金額"),
    "a variant in a name": ("﨑山 𠮷野家 髙橋", "崎山 吉野家 高橋"),
    "full width": ("ＶＴ－２０４９１８", "vt-204918"),
    "half-width katakana with its mark": ("ﾊﾞｯﾃﾘｰ", "バッテリー"),
    "accents as characters of their own": (unicodedata.normalize("NFD", "Rückgabegebühr"), "rückgabegebühr"),
    "ligatures": ("oﬃce ﬂoor", "office floor"),
    "a soft hyphen": ("war\u00adranty", "warranty"),
    "a zero-width space": ("dis\u200bcount", "discount"),
    "a word joiner and a byte-order mark": ("\ufeffdis\u2060count", "discount"),
    "a mark of direction": ("\u202evt-1\u202c", "vt-1"),
    "a variation selector": ("葛\U000e0100城 ✔\ufe0f", "葛城 ✔"),
    "the non-breaking hyphen": ("VT‑1", "vt-1"),
    "the en dash": ("VT–1", "vt-1"),
    "the minus sign": ("VT−1", "vt-1"),
    "white space of any kind": ("\u3000where\u00a0is\n\tit \u2003", "where is it"),
    "digits of another script": ("٢٠٤ ९", "204 9"),
    "case": ("STRASSE Ω", "straße ω"),
    "a subscript": ("CO₂", "co2"),
    "an apostrophe that a keyboard set": ("O’Brien won´t", "o'brien won't"),
    "quotation marks that a program set": ("“smart” „home“", '"smart" "home"'),
    "the middle dot in a name": ("约翰•史密斯 约翰・史密斯 约翰‧史密斯", "约翰·史密斯 约翰·史密斯 约翰·史密斯"),
    "the wave dash": ("10〜20", "10～20"),
    "a fraction": ("½", "1/2"),
    "circled and Roman numbers": ("第① Ⅳ", "第1 iv"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_read_the_same_is_the_same(name):
    written, plain = SAME[name]
    assert fold_text(written) == fold_text(plain)


def test_texts_that_are_read_otherwise_stay_apart():
    texts = ["79¹ euros", "791 euros", "10²", "102", "resume", "résumé", "バ", "ハ", "1.0", "10"]
    texts += ["７９¹元", "791元", "价格79①", "价格791", "2½", "21/2", "10⁻³", "10-3", "101₂", "1012", "5⒈", "51."]
    assert len({fold_text(text) for text in texts}) == len(texts)


def test_case_stays_where_it_means_something():
    assert fold_text(" ａ-Ｂ ", keep_case=True) == "a-B"


@given(st.text())
def test_a_folded_text_stays_as_it_is(text):
    for keep_case in (False, True):
        folded = fold_text(text, keep_case=keep_case)
        assert fold_text(folded, keep_case=keep_case) == folded
        assert folded == folded.strip()
