"""HTML pages: what stands in the layout (spans, numbers, raised digits, ticks, readings) is in the text."""

import contextlib

import pytest

from retrievers.errors import DocumentError
from retrievers.readers import html_text
from retrievers.readers.html_text import read_html
from tests.waiting import cpu_seconds


def _text(page):
    return read_html(page.encode()).text


def _lines(page):
    return [line for line in _text(page).split("\n") if line and not line.startswith("| ---")]


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (
            "<tr><th>Plan<th colspan=2>Basic<th>Premium<tr><td>Price<td>monthly 9<td>yearly 90<td>19",
            ["| Plan | Basic | Basic | Premium |", "| Price | monthly 9 | yearly 90 | 19 |"],
        ),
        (
            "<tr><th>地区<th>城市<th>时间<tr><td rowspan=2>北<td>基尔<td>9-17<tr><td>汉堡<td>10-20"
            "<tr><td>南<td>乌尔姆<td>8-16",
            [
                "| 地区 | 城市 | 时间 |",
                "| 北 | 基尔 | 9-17 |",
                "| 北 | 汉堡 | 10-20 |",
                "| 南 | 乌尔姆 | 8-16 |",
            ],
        ),
        (  # a header of two rows
            "<thead><tr><th rowspan=2>To<th colspan=2>Standard<tr><th>5 kg<th>20 kg<tbody><tr><td>AT<td>7<td>14",
            ["| To | Standard 5 kg | Standard 20 kg |", "| AT | 7 | 14 |"],
        ),
        (  # 0 reaches to the end of its group, and no further
            "<tbody><tr><td>a<td>b<tr><td rowspan=0>x<td>1<tr><td>2<tbody><tr><td>y<td>3",
            ["| a | b |", "| x | 1 |", "| x | 2 |", "| y | 3 |"],
        ),
        (  # more columns than there are
            "<tr><th>To<th>price<tr><td colspan=99>Europe<tr><td>AT<td>7",
            ["| To | price |", "| Europe |  |", "| AT | 7 |"],
        ),
        (  # every cell spans as many columns: there is nothing to repeat
            "<tr><th colspan=2>a<th colspan=2>b<tr><td colspan=2>1<td colspan=2>2",
            ["| a | b |", "| 1 | 2 |"],
        ),
        ("<tr><td colspan=x rowspan=-3>a<td>b", ["| a | b |"]),
        (  # each row names its own value: none of them is the header of the others
            "<caption>Larch</caption><tr><th>Weight<td>2 kg<tr><th>Colour<td>red",
            ["Larch", "|  |  |", "| Weight | 2 kg |", "| Colour | red |"],
        ),
        (
            "<tbody><tr><th scope=row>重量<td>2 公斤<tr><th>颜色<td>红",
            ["|  |  |", "| 重量 | 2 公斤 |", "| 颜色 | 红 |"],
        ),
        ("<thead><tr><th>Lamp<td>weight<tbody><tr><th>Larch<td>2", ["| Lamp | weight |", "| Larch | 2 |"]),
        ("<tr><td colspan=2>Prices<tr><td>To<td>price<tr><td>AT<td>7", ["Prices", "| To | price |", "| AT | 7 |"]),
    ],
)
def test_each_value_stands_below_its_header(table, lines):
    assert _lines(f"<table>{table}</table>") == lines


@pytest.mark.parametrize(
    "table",
    [
        "<tr>" + "<td>x" * 1000 + ("<tr><td colspan=1000>" + "y" * 99 + "<td>z") * 5000,
        "<tr>" + ("<td rowspan=65534>" + "x" * 99) * 1000 + "<tr><td>1" * 5000,
    ],
)
def test_spans_that_would_fill_the_memory_are_refused_soon(table):
    def read():
        with pytest.raises(DocumentError, match="split the table"):
            _text(f"<table>{table}</table>")

    assert cpu_seconds(read) < 10


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("<ol start=5><li>a<li>b</ol>", ["5. a", "6. b"]),
        ("<ol type=a><li>a<li>b</ol>", ["a. a", "b. b"]),
        ("<ol type=I start=4><li>a<li>b</ol>", ["IV. a", "V. b"]),
        ("<ol reversed><li>a<li>b<li>c</ol>", ["3. a", "2. b", "1. c"]),
        ("<ol reversed start=10><li>a<ol><li>x</ol><li>b</ol>", ["10. a", "  1. x", "9. b"]),
        ("<ol><li value=7>a<li>b<li value=3>c</ol>", ["7. a", "8. b", "3. c"]),
        ("<ol style='list-style-type: cjk-ideographic'><li>总则<li>范围</ol>", ["一、总则", "二、范围"]),
        ("<ol style='list-style: lower-roman inside' start=9><li>a<li>b</ol>", ["ix. a", "x. b"]),
        ("<ol style='list-style:none'><li>a</ol><ul><li>b</ul>", ["- a", "- b"]),
        ("<ol start=-1><li>a<li>b<li>c</ol>", ["-1. a", "0. b", "1. c"]),
        ("<table><tr><td><ol start=2><li>a<li>b</ol><td>x</table>", ["| 2. a 3. b | x |"]),
    ],
)
def test_list_numbers_are_those_that_a_browser_shows(page, lines):
    assert _lines(page) == lines


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("costs 79<sup>1</sup> euros", "costs 79¹ euros"),
        ("10<sup>−3</sup>, a<sup>n+1</sup>, x<sub>max</sub>, H<sub>2</sub>O", "10⁻³, aⁿ⁺¹, x_(max), H₂O"),
        ("the 2<sup>nd</sup> of 79<sup>[1]</sup> Foo<sup>TM</sup>", "the 2nd of 79[1] Foo™"),
        ("<table><tr><td>10<sup>12</sup><td>1</table>", "| 10¹² | 1 |\n| --- | --- |"),
        ("Was <s>129</s> <del>119</del> <strike>109</strike> <ins>now</ins> 99", "Was now 99"),
        ("<span style='text-decoration: line-through'>129</span> 99", "99"),
        ("<p>a</p><p style='display: none'>b</p><p style='visibility:hidden'>c</p><p>d", "a\n\nd"),
        ("<div hidden=until-found>found</div><div hidden>not</div>", "found"),
        ("<ruby>退货<rp>(</rp><rt>tuìhuò</rt><rp>)</rp></ruby>中心", "退货(tuìhuò)中心"),
        ("<ruby>退<rt>tuì</rt>货<rt>huò</rt></ruby>", "退(tuì)货(huò)"),
        ("<ruby>退<rt>tuì<rb>货<rt>huò</ruby>", "退(tuì)货(huò)"),
        ("<ruby>退货<rt></rt></ruby>", "退货"),
        ("<input type=checkbox checked>two years <input type=checkbox>three", "☑ two years ☐ three"),
        ("<label><input type=radio checked> 两年</label> <input type=text value=x>", "☑ 两年"),
        ("<span role=checkbox aria-checked=false></span>no", "☐ no"),
        ("<img src=a.png alt='退货流程图'> <img alt=IMG_2034.jpg> <img alt=''>", "退货流程图"),
        (
            "<table><tr><th>Plan<th>A<tr><td>calls<td><img alt=included>"
            "<tr><td>sms<td><svg aria-label='not included'></svg></table>",
            "| Plan | A |\n| --- | --- |\n| calls | included |\n| sms | not included |",
        ),
        ("79<span style='font-size:.6em; vertical-align:super'>1</span> euros, 5", "79¹ euros, 5"),
        (
            "H<font style='VERTICAL-ALIGN: sub'>2</font>O, 10<a href=#n><u style='vertical-align:super'>12</u></a>",
            "H₂O, 10¹²",
        ),
        ("<b style='vertical-align: super'>1<i>2</i></b> 5<span style='vertical-align: 1px'>6</span>", "¹² 56"),
        (
            "<table><tr><td>79<span style='vertical-align:super'>1</span><td><span hidden>x</span>5</table>",
            "| 79¹ | 5 |\n| --- | --- |",
        ),
        ("<sup style='vertical-align: baseline'>79</sup>1 <span>a</span>5", "791 a5"),
        ("<meter value=1>3 of 5</meter>full <datalist><option>z</datalist><progress>7</progress>", "full"),
        ("<img alt=seen aria-hidden=true>x<math alttext='x^2'><mn>2</mn></math>", "x x^2"),
    ],
)
def test_a_line_says_what_is_seen(page, text):
    assert _text(page) == text


@pytest.mark.parametrize("piece", ["<ol reversed>", "<ruby>a<rt>b", "<sup>2", "<sup>2</sup>a", "<input type=checkbox>"])
def test_broken_pages_take_no_longer_than_they_are(piece):
    def read():
        with contextlib.suppress(DocumentError):  # too many elements in each other
            _text(piece * 20_000)

    assert cpu_seconds(read) < 10


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_a_page_says_the_same_in_however_many_pieces_it_is_parsed(monkeypatch, size):
    page = (
        "<h1>退货</h1><p>a <b> b</b>\n c &amp; d<!-- x --><script>if (a < b)</script><sup>2</sup>"
        "<table><tr><td>1<td>é</table><pre>\n x  y\n</pre><ul><li>x</ul>"
    )
    whole = _text(page)
    monkeypatch.setattr(html_text, "_FED_BYTES", size)
    assert _text(page) == whole
