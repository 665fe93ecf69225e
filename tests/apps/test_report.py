"""The report is one file that runs nothing, shows every part there is, and shows hostile texts as texts."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from apps import report
from apps.charts import TrendBar, draw_bars, draw_confusion, draw_trend, sum_trend
from apps.evaluate import ClassifierEvaluation
from apps.report import QuickstartResult, write_report
from chains.customer_service import Citation, ServiceReply, ServiceScores
from chains.monitoring import Alert, Cause, MonitoringReport, TrendPoint
from chains.recommendation import RankedItem, Recommendation
from llms.metrics import per_class_report

WEB = Path(report.__file__).parent / "web"
START = datetime(2026, 3, 2, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "br", "link", "img", "rect", "line", "polyline"}


class Page(HTMLParser):
    """A page as elements and visible text; refuses tags that do not close in order."""

    def __init__(self, source):
        super().__init__()
        self.elements = []
        self.text = ""
        self._open = []
        self.feed(source)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    def count(self, tag, **attributes):
        return sum(
            name == tag and all(found.get(key) == value for key, value in attributes.items())
            for name, found in self.elements
        )


def make_classifier(labels):
    expected = [label for label in labels for _ in range(4)]
    predicted = [*expected[1:], expected[0]]
    return ClassifierEvaluation(
        metrics={"accuracy": 0.75, "macro_f1": 0.74, "ece": 0.04, "accepted_share": 0.9, "accepted_accuracy": 0.98},
        baselines={"character TF-IDF + linear SVM": {"accuracy": 0.7, "macro_f1": 0.69}},
        report=per_class_report(expected, predicted),
        num_test_rows=len(expected),
        texts_per_second=123.4,
    )


def make_monitoring(topic="app", text="The app is down"):
    points = tuple(
        TrendPoint(
            topic=topic,
            start=START + timedelta(hours=hour),
            posts=6,
            negative=5 if hour > 100 else 1,
            neutral=1 if hour > 100 else 4,
            positive=0 if hour > 100 else 1,
            baseline_share=None if hour < 50 else 0.17,
        )
        for hour in range(120)
    )
    alert = Alert(
        id="a",
        topic=topic,
        since=START + timedelta(hours=100),
        raised_at=START + timedelta(hours=102),
        negative_share=0.83,
        baseline_share=0.17,
        size=60,
        causes=(Cause(id="c", time=START, source="forum", text=text, probability=0.93),),
        track="share",
        reason="50 negative posts",
    )
    quiet = points[0].model_copy(update={"topic": "quiet"})
    return MonitoringReport(trend=(*points, quiet), alerts=(alert,))


def make_result(**changes):
    parts = {
        "workspace": "/tmp/shop",  # noqa: S108
        "created": START,
        "seconds": 182.4,
        "language": "en",
        "classifiers": {
            "intent": make_classifier([f"intent_{number}" for number in range(24)]),
            "sentiment": make_classifier(["negative", "neutral", "positive"]),
        },
        "service_scores": ServiceScores(
            num_messages=20,
            intents_answered=0.91,
            intents_offered=0.1,
            intents_wrong=0.02,
            questions_answered=None,
            questions_wrong=None,
            unanswerable_handed_over=0.8,
        ),
        "conversations": (
            (
                "How do I charge it?",
                ServiceReply(
                    text="To 80 percent.",
                    route="answer",
                    probability=0.3,
                    citations=(Citation(source="battery.md", start=0, end=5, quote="Charge to 80 percent."),),
                    reason="battery.md does",
                ),
            ),
        ),
        "monitoring": make_monitoring(),
        "alert_scores": {"surges_found": 1, "median_delay_hours": 2.5, "false_alarms": 0},
        "recommendation_scores": {
            "popularity": {"ndcg": 0.05, "recall": 0.1},
            "tunechain": {"ndcg": 0.09, "recall": 0.14},
        },
        "example_history": ("Red kettle",),
        "example_list": Recommendation(
            user="u1",
            cold=False,
            items=(RankedItem(id="i", title="Blue kettle", score=0.4, reason="Because of the red one.", parts={}),),
        ),
    }
    return QuickstartResult(**(parts | changes))


def empty_parts():
    return {
        "classifiers": {},
        "service_scores": None,
        "conversations": (),
        "monitoring": None,
        "alert_scores": None,
        "recommendation_scores": {},
        "example_history": (),
        "example_list": None,
    }


@pytest.fixture
def write(tmp_path):
    def write_and_read(**changes):
        write_report(make_result(**changes), tmp_path / "report.html")
        source = (tmp_path / "report.html").read_text("utf-8")
        return source, Page(source)

    return write_and_read


@pytest.fixture
def page(write):
    return write()[1]


def test_the_report_runs_nothing_and_loads_nothing(page):
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes
    assert page.count("meta", content="default-src 'none'; style-src 'unsafe-inline'") == 1


@pytest.mark.parametrize(
    "shown",
    [
        "/tmp/shop",  # noqa: S108
        "2026-03-02 00:00 UTC",
        "182 seconds",
        "character TF-IDF + linear SVM",
        "calibration error (ECE)",
        "micro average",
        "macro average",
        "weighted average",
        "intent_23",
        "91 %",
        "unanswerable handed over",
        "How do I charge it?",
        "battery.md",
        "from the knowledge base",
        "2.5 h",
        "50 negative posts",
        "The app is down",
        "alert: 03-06",
        "posts / 1 h",
        "popularity",
        "0.090",
        "Red kettle",
        "Blue kettle",
        "Because of the red one.",
    ],
)
def test_each_part_is_shown(page, shown):
    assert shown in page.text


def test_every_chart_has_a_text_for_those_who_do_not_see_it(page):
    charts = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(charts) == 2 + 2 + 1  # confusion, trend, recommendation
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_topics_with_alerts_come_first(page):
    headings = page.text[page.text.index("Opinion monitoring", page.text.index("surges found") - 400) :]
    assert headings.index("posts / 1 h") < headings.rindex("quiet")


def test_hostile_texts_are_shown_as_texts(write):
    source, page = write(
        workspace=HOSTILE,
        classifiers={"intent": make_classifier([HOSTILE, "b"])},
        conversations=(
            (
                HOSTILE,
                ServiceReply(
                    text=HOSTILE,
                    route="template",
                    intent=HOSTILE,
                    citations=(Citation(source=HOSTILE, start=0, end=1, quote=HOSTILE),),
                    reason=HOSTILE,
                ),
            ),
        ),
        monitoring=make_monitoring(topic=HOSTILE, text=HOSTILE),
        recommendation_scores={HOSTILE: {"ndcg": 0.1}},
        example_history=(HOSTILE,),
    )
    assert page.count("script") == page.count("img") == 0
    assert "<script" not in source
    assert page.text.count("{{ 7 * 7 }}") >= 10
    assert not [name for _, attributes in page.elements for name in attributes if name == "onerror"]


def test_characters_that_mislead_the_eye_are_left_out(write):
    source, page = write(example_history=("a\u202eb\u200bc\x07d \ud800",))
    assert "abcd" in page.text
    assert not re.search("[\u202e\u200b\x07]", source)


@pytest.mark.parametrize(
    ("part", "heading"),
    [
        ({"classifiers": {}}, "Classifiers"),
        ({"service_scores": None, "conversations": ()}, "Customer service"),
        ({"monitoring": None, "alert_scores": None}, "Opinion monitoring"),
        ({"recommendation_scores": {}, "example_history": (), "example_list": None}, "Recommendation"),
    ],
)
def test_a_part_without_results_is_left_out(write, part, heading):
    _, page = write(**part)
    assert heading not in page.text
    assert "182 seconds" in page.text


def test_a_run_without_any_result_still_makes_a_page(write):
    _, page = write(**empty_parts())
    assert page.count("section") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"monitoring": MonitoringReport()},
        {"alert_scores": {"surges_found": 0, "median_delay_hours": None}},
        {"recommendation_scores": {}},
        {"example_list": None},
        {"conversations": ()},
        {"service_scores": None},
    ],
)
def test_half_a_part_is_shown_alone(write, changes):
    assert write(**changes)[1].count("section") == 4


def test_a_chinese_report_has_chinese_headings(write):
    source, page = write(language="zh")
    assert page.count("html", lang="zh") == 1
    for heading in ("运行报告", "智能客服", "舆情监测", "个性化推荐", "混淆矩阵", "宏平均 F1"):
        assert heading in page.text
    assert "Opinion monitoring" not in page.text
    assert "{n}" not in source


def test_every_text_of_the_report_is_translated():
    source = (WEB / "report.html").read_text("utf-8") + Path(report.__file__).read_text("utf-8")
    texts = set(re.findall(r'(?:\b_|translate)\(\s*"([^"]+)"', source)) | set(report._ROUTES.values())
    for names in (report._METRICS, report._RECOMMENDATION_METRICS, report._ALERT_FIGURES):
        texts |= set(names.values())
    texts |= {name.replace("_", " ") for name in ServiceScores.model_fields if name != "num_messages"}
    assert len(texts) > 50
    assert texts <= set(report._words("zh"))


def test_a_language_without_words_stays_english(write):
    assert "Opinion monitoring" in write(language="fr")[1].text


@pytest.mark.parametrize(("days", "width_h"), [(1, 1), (20, 6), (50, 12), (100, 24), (400, 96)])
def test_bars_are_as_narrow_as_the_span_allows(days, width_h):
    point = make_monitoring().trend[0]
    width, bars = sum_trend([point, point.model_copy(update={"start": START + timedelta(days=days)})])
    assert width == timedelta(hours=width_h)
    assert [bar.posts for bar in bars] == [6, 6]


def test_no_points_give_no_bars():
    assert sum_trend([])[1] == []


def test_an_open_alert_is_shaded_to_the_end_of_the_chart():
    bars = [
        TrendBar(start=START + timedelta(hours=hour), posts=5, negative=1, positive=0, baseline_share=0.2)
        for hour in range(10)
    ]
    alert = make_monitoring().alerts[0].model_copy(update={"since": START + timedelta(hours=5)})
    chart = draw_trend(timedelta(hours=1), bars, [alert], label="x")
    left, width = map(float, re.search(r'class="surge" x="([\d.]+)" y="\d+" width="([\d.]+)"', chart).groups())
    edge = max(float(x) for x in re.findall(r'x2="([\d.]+)"', chart))
    assert left + width == pytest.approx(edge)


def test_a_matrix_shows_counts_and_names_every_cell():
    chart = draw_confusion(["a", "b"], [[3, 1], [0, 2]], label="x")
    assert chart.count("<title>") == 4
    assert "expected b, predicted a: 0" in chart
    assert 'fill-opacity="0.0"' in chart


def test_an_empty_matrix_and_empty_bars_can_be_drawn():
    assert draw_confusion([], [], label="x").endswith("</svg>")
    assert draw_bars({}, label="x").endswith("</svg>")


def test_bars_of_zero_are_drawn():
    assert draw_bars({"a": 0.0}, label="x").count("<rect") == 1
