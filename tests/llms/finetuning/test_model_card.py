"""A model card can be read by people and by the hub, and shows hostile texts as texts."""

import re
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llms.finetuning.report.model_card import escape_markdown, write_model_card
from llms.finetuning.report.wording import plain_text
from llms.metrics import per_class_report
from tests.training_reports import make_multi_label_report, make_report, make_tagger_report

HOSTILE = "a|b <script>alert(1)</script> ![x](http://x.y) `c` **d** # e\n---\n- f [g]: www.h.i"
_markdown = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")


@pytest.fixture
def write(tmp_path):
    def write_and_read(report, **options):
        path = write_model_card(report, tmp_path, **options)
        text = path.read_text("utf-8")
        front_matter, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
        return yaml.safe_load(front_matter), body

    return write_and_read


def _texts(tokens, kind):
    """Return the shown text of each inline token that follows an opening token of a kind."""
    return [
        "".join(child.content for child in after.children) for before, after in pairwise(tokens) if before.type == kind
    ]


def test_the_front_matter_is_what_the_hub_reads(write):
    content, _ = write(make_report(), licence="apache-2.0", languages=["en"])
    assert content == {
        "language": ["en"],
        "license": "apache-2.0",
        "base_model": "org/small-encoder",
        "library_name": "tunechain",
        "pipeline_tag": "text-classification",
        "tags": ["tunechain", "lora"],
        "metrics": ["accuracy", "f1"],
    }


@pytest.mark.parametrize(
    ("task", "tag", "loaded"),
    [
        ("classifier", "text-classification", "LocalClassifier("),
        ("tagger", "token-classification", "LocalTagger("),
        ("chat", "text-generation", "LocalChatModel("),
        ("embeddings", "sentence-similarity", "LocalEmbeddings("),
        ("reranker", "text-ranking", "LocalReranker("),
    ],
)
def test_each_task_has_its_tag_and_its_way_to_be_loaded(write, task, tag, loaded):
    content, body = write(make_report(task=task))
    assert content["pipeline_tag"] == tag
    code = next(token.content for token in _markdown.parse(body) if token.type == "fence")
    assert loaded in code
    compile(code, "card", "exec")


def test_neither_licence_nor_language_is_guessed(write):
    content, body = write(make_report())
    assert "license" not in content
    assert "language" not in content
    assert "In which languages it works is not known" in body


def test_a_folder_on_this_machine_is_not_told(write):
    content, body = write(make_report(base_model="/home/ada/models/mine"))
    assert "base_model" not in content
    assert "ada" not in body
    assert "# mine, fine-tuned" in body


@pytest.mark.parametrize(
    "shown",
    [
        "it knows 3 labels",
        "| accuracy | 0.900 | 0.850 | 0.330 |",
        "calibration error (ECE) (lower is better)",
        "| macro average |",
        "An answer is accepted from a probability of 0.620 on",
        "at least 92.1 % are, with 95 % confidence",
        "900 training rows, 100 held out",
        "abababab",
        "12 texts occur twice",
        "Method: lora",
        "300,000 of 22,700,000 weights trained (1.3 %)",
        "91.2 MB",
        "3 min 12 s",
        "seed 7",
        "torch 2.13.0",
        "tunechain finetune rows.csv",
        "“other” (200)",
    ],
)
def test_each_part_is_told(write, shown):
    assert shown in write(make_report())[1]


def test_entities_and_several_labels_have_their_tables(write):
    assert "### Entities" in write(make_tagger_report())[1]
    assert "| samples average |" in write(make_multi_label_report())[1]


def test_a_report_with_the_least_makes_a_card(write):
    report = make_report(
        task="chat", metrics={}, baselines={}, per_class=None, thresholds={}, data={}, versions={}, command="",
        rows={"train": 5},
    )  # fmt: skip
    content, body = write(report)
    assert "metrics" not in content
    assert "There were no test rows" in body
    assert "## Calibration" not in body


def test_hostile_texts_are_shown_as_texts(write):
    table = per_class_report([HOSTILE, "1. b"], ["1. b", "1. b"])
    report = make_report(
        base_model=HOSTILE, method=HOSTILE, per_class=table, command=f"echo ```\n```\n{HOSTILE}",
        baselines={HOSTILE: {"accuracy": 0.1}}, versions={HOSTILE: "1"},
        data={"rows_per_label": {HOSTILE: 2}, "sha256": HOSTILE, "warnings": [HOSTILE]},
    )  # fmt: skip
    content, body = write(report, licence="x\n---\ny: z", languages=["en\n---"])
    assert content["license"] == "x --- y: z"
    assert content["tags"] == ["tunechain", " ".join(HOSTILE.split())]
    tokens = _markdown.parse(body)
    everything = [*tokens, *(child for token in tokens for child in token.children or [])]
    kinds = {token.type for token in everything}
    assert not kinds & {
        "html_block",
        "html_inline",
        "image",
        "link_open",
        "strong_open",
        "em_open",
        "code_inline",
        "hr",
    }
    shown = " ".join(HOSTILE.split())
    assert shown in _texts(tokens, "td_open")
    assert shown in _texts(tokens, "th_open")
    assert sum(token.type == "fence" for token in tokens) == 2
    assert sum(token.type == "heading_open" for token in tokens) == 9
    rows = "\n".join(line for line in body.splitlines() if line.startswith("|"))
    assert "<" not in rows


@given(st.text(max_size=30) | st.text(alphabet="ab1.)#*_`|[]<>&!-+~\\ \n:/@$=", max_size=30))
def test_an_escaped_text_is_shown_as_it_was(text):
    wanted = " ".join(plain_text(text).split())
    tokens = _markdown.parse(f"| x |\n| --- |\n| {escape_markdown(text)} |")
    assert _texts(tokens, "td_open") == [wanted]
    bullet = _markdown.parse(f"- {escape_markdown(text)}")
    assert sum(token.type == "bullet_list_open" for token in bullet) == 1
    assert not any(token.type == "ordered_list_open" for token in bullet)
    assert _texts(bullet, "paragraph_open") == ([wanted] if wanted else [])
