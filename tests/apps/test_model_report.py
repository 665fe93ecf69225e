"""The page of a training is one file that runs nothing, shows every part there is, and shows hostile texts as texts."""

import re

import pytest

from apps.model_charts import draw_lines, draw_reliability, pick_confused
from apps.model_report import render_model_report, write_model_report
from llms.errors import ModelNotFoundError
from llms.finetuning.report.report import ErrorExample
from llms.metrics import ReliabilityBin, per_class_report
from tests.apps.test_report import HOSTILE, Page
from tests.training_reports import make_multi_label_report, make_report, make_tagger_report


@pytest.fixture
def write(tmp_path):
    def write_and_read(report):
        source = write_model_report(report, tmp_path).read_text("utf-8")
        return source, Page(source)

    return write_and_read


@pytest.fixture
def page(write):
    return write(make_report())[1]


def test_the_page_runs_nothing_and_loads_nothing(page):
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes
    assert page.count("meta", content="default-src 'none'; style-src 'unsafe-inline'") == 1


def test_every_link_leads_to_a_part(page):
    targets = {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"}
    assert targets == {attributes["id"] for tag, attributes in page.elements if tag == "section"}


def test_every_chart_has_a_text_for_those_who_do_not_see_it(page):
    charts = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(charts) == 2 + 2 + 1 + 1  # figures, learning curve, reliability, confusion
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


@pytest.mark.parametrize(
    "shown",
    [
        "org/small-encoder, fine-tuned",
        "method lora",
        "2026-03-02 10:00 UTC",
        "3 min 12 s",
        "95 % sure to lie between 0.735 and 0.979, from 30 test rows",
        "300,000 of 22,700,000 weights trained",
        "accuracy (higher is better)",
        "character TF-IDF + linear SVM",
        "training loss",
        "held-out loss",
        "epoch 2, held-out accuracy: 0.900",
        "probability that was given",
        "An answer is accepted from a probability of 0.620 on",
        "macro average",
        "expected refund, predicted delivery: 1",
        "Where is my money?",
        "97 % sure and wrong",
        "Where is my parcel?",
        "similarity 0.910",
        "12 texts occur twice",
        "duplicates",
        "num rows: 13; lines: 3, 8",
        "Good morning",
        "torch 2.13.0",
        "tunechain finetune rows.csv",
        "fewer than 20 test rows",
    ],
)
def test_each_part_is_shown(page, shown):
    assert shown in page.text


def test_what_trainers_log_beside_scores_is_not_drawn(page):
    assert "runtime" not in page.text


def test_errors_in_the_data_come_before_warnings(write):
    _, page = write(make_report(data={"warnings": ["one"], "errors": ["two"]}))
    assert page.text.index("Error: two") < page.text.index("Warning: one")


def test_labels_are_sorted_by_f1(write):
    table = per_class_report(["good", "good", "bad", "middle", "middle"], ["good", "good", "good", "middle", "bad"])
    _, page = write(make_report(per_class=table, thresholds={}, data={}))
    text = page.text[page.text.index("worst F1 first") :]
    assert text.index("bad") < text.index("middle") < text.index("good")


def test_a_large_confusion_matrix_shows_the_most_confused_labels(write):
    labels = [f"label {number:02}" for number in range(40)]
    expected = [label for label in labels for _ in range(2)]
    predicted = list(expected)
    predicted[0], predicted[20] = "label 10", "label 39"
    _, page = write(make_report(per_class=per_class_report(expected, predicted)))
    assert "The 30 labels with the most mistakes, of 40; 2 of 2 mistakes lie between them." in page.text
    chart = next(found["aria-label"] for _, found in page.elements if "Confusion" in found.get("aria-label", ""))
    assert chart == "Confusion matrix of the 30 most confused labels"
    assert "expected label 10, predicted label 39: 1" in page.text


def test_the_most_confused_labels_keep_their_order():
    matrix = [[9, 0, 0, 0], [0, 5, 0, 4], [0, 0, 7, 1], [0, 0, 0, 3]]
    assert pick_confused(list("abcd"), matrix, limit=3) == (list("bcd"), [[5, 0, 4], [0, 7, 1], [0, 0, 3]])
    assert pick_confused([], []) == ([], [])


def test_many_errors_are_folded_away(write):
    errors = tuple(ErrorExample(text=f"text {number}", expected="a", predicted="b") for number in range(50))
    _, page = write(make_report(errors=errors))
    assert "38 more" in page.text
    assert "text 49" in page.text


def test_a_tagger_has_a_table_of_entities(write):
    _, page = write(make_tagger_report())
    assert "Entities, worst F1 first" in page.text
    assert "PLACE" in page.text
    assert "Reliability" not in page.text
    assert "Confusion matrix" not in page.text


def test_several_labels_have_a_samples_average_and_no_confusion(write):
    _, page = write(make_multi_label_report())
    assert "samples average" in page.text
    assert "wrong label decisions (Hamming loss)" in page.text
    assert "Confusion matrix" not in page.text


def test_a_report_with_the_least_makes_a_page(write):
    report = make_report(
        task="chat", metrics={}, baselines={}, per_class=None, thresholds={}, data={}, versions={}, command="",
        rows={"train": 5}, learning_curve=(), reliability=(), errors=(),
    )  # fmt: skip
    _, page = write(report)
    assert page.count("section") == 4
    assert "There were no test rows" in page.text


@pytest.mark.parametrize("make", [make_report, make_tagger_report, make_multi_label_report])
def test_hostile_texts_are_shown_as_texts(write, make):
    hostile_error = ErrorExample(
        text=HOSTILE, expected=HOSTILE, predicted=HOSTILE, reason=HOSTILE, neighbours=((HOSTILE, HOSTILE, 0.5),)
    )
    source, page = write(
        make(
            base_model=HOSTILE,
            method=HOSTILE,
            metrics={HOSTILE: 0.5},
            baselines={HOSTILE: {HOSTILE: 0.4}},
            per_class=per_class_report([HOSTILE, "a|b"], ["a|b", "a|b"]),
            learning_curve=({"step": 1.0, HOSTILE: 0.5},),
            errors=(hostile_error,),
            data={HOSTILE: HOSTILE, "x": {HOSTILE: HOSTILE}, "y": [HOSTILE], "warnings": [HOSTILE]},
            versions={HOSTILE: HOSTILE},
            command=HOSTILE,
        )
    )
    assert page.count("script") == page.count("img") == 0
    assert "<script" not in source
    assert page.text.count("{{ 7 * 7 }}") >= 20
    assert not [name for _, attributes in page.elements for name in attributes if name == "onerror"]


def test_characters_that_mislead_the_eye_are_left_out(write):
    source, page = write(make_report(command="a\u202eb\u200bc\x07d"))
    assert "abcd" in page.text
    assert not re.search("[\u202e\u200b\x07]", source)


def test_a_loss_that_broke_down_is_left_out_of_the_chart(write):
    curve = ({"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": float("nan")})
    _, page = write(make_report(learning_curve=curve, metrics={"accuracy": float("nan")}))
    assert page.count("circle") == 1
    assert "nan" not in page.text


def test_every_point_of_a_line_lies_within_the_chart():
    entries = [{"step": step, "loss": 3.0 / (step + 1), "eval_loss": 2.0} for step in range(0, 1000, 50)]
    chart = draw_lines(entries, {"loss": "a", "eval_loss": "b"}, along="step", label="x")
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart).groups())
    places = [tuple(map(float, place)) for place in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    assert len(places) == 40
    assert all(0 < x < width and 0 < y < height for x, y in places)


def test_lines_without_points_can_be_drawn():
    assert draw_lines([], {"loss": "loss"}, label="x").endswith("</svg>")
    assert draw_lines([{"epoch": 1.0, "loss": 0.0}], {"loss": "loss"}, label="x").count("<circle") == 1


def test_bars_of_a_reliability_diagram_are_as_tall_as_the_share_right():
    chart = draw_reliability(
        [ReliabilityBin(0.5, 0.6, 0.55, 0.25, 3), ReliabilityBin(0.9, 1.0, 0.95, 1.0, 6)], label="x"
    )
    heights = [float(height) for height in re.findall(r'class="right"[^>]* height="([\d.]+)"', chart)]
    counts = [float(height) for height in re.findall(r'class="other"[^>]* height="([\d.]+)"', chart)]
    assert heights == [60.0, 240.0]
    assert counts[1] == 2 * counts[0]


def test_no_bins_can_be_drawn():
    assert draw_reliability([], label="x").endswith("</svg>")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError):
        write_model_report(make_report(), tmp_path / "none")


def test_words_are_shaded_by_what_they_weighed_and_stay_text():
    error = ErrorExample(text="a <b>", expected="x", predicted="y", words=(("a", 0.5), ("<b>", -1.0)))
    page = render_model_report(make_report().model_copy(update={"errors": (error,)}))
    assert '<span class="for" style="--share: 0.5">a</span>' in page
    assert '<span class="against" style="--share: 1.0">&lt;b&gt;</span>' in page
