"""The sample records: the promised counts, no leaks from test to training, and the scripts that make them."""

import csv
import json
import re
from collections import Counter
from datetime import timedelta

import pytest

from apps.readers import read_catalogue, read_events, read_known_surges, read_posts, read_templates
from apps.samples import make_events, make_shop_zh, make_stream
from apps.workspace import create_workspace
from llms.finetuning.data.duplicates import NearTextIndex
from llms.finetuning.data.labelled_files import read_labelled_texts
from llms.finetuning.data.tables import read_table
from retrievers import read_documents
from tests.conftest import REPOSITORY

SAMPLES = REPOSITORY / "apps" / "samples"
EN, ZH = SAMPLES / "en", SAMPLES / "zh"
LANGUAGES = pytest.mark.parametrize("folder", [EN, ZH], ids=["en", "zh"])


def _labels(path, column):
    labelled = read_labelled_texts(path, label_column=column)
    assert labelled.rejected == []
    return Counter(row.label for row in labelled.rows)


def _pairs(path):
    table = read_table(path, ["text", "topic", "sentiment"])
    assert table.rejected == []
    return Counter((row.values["topic"], row.values["sentiment"]) for row in table.rows)


def _texts(path):
    return [row.text.casefold().strip() for row in read_labelled_texts(path, label_column=_label_column(path)).rows]


def _label_column(path):
    return "intent" if path.parent.name == "customer_service" else "topic"


def _articles(folder):
    return {document.metadata["source"] for document in read_documents([folder / "customer_service" / "knowledge"])}


@pytest.mark.parametrize(
    ("folder", "num_intents", "num_train", "num_test", "num_articles"), [(EN, 24, 30, 8, 40), (ZH, 12, 40, 25, 15)]
)
def test_intents_templates_and_articles_are_as_many_as_promised(folder, num_intents, num_train, num_test, num_articles):
    records = folder / "customer_service"
    train, test = (_labels(records / name, "intent") for name in ("intents.csv", "intents_test.csv"))
    assert set(train.values()) == {num_train}
    assert set(test.values()) == {num_test}
    assert len(train) == num_intents
    book = read_templates(records / "templates.yaml")
    assert set(book.answers) == set(train) == set(test)
    assert len(_articles(folder)) == num_articles


@LANGUAGES
def test_every_slot_is_defined_used_and_found_in_some_message(folder):
    book = read_templates(folder / "customer_service" / "templates.yaml")  # refuses a slot that is not defined
    messages = "\n".join(_texts(folder / "customer_service" / "intents.csv"))
    for name, slot in book.slots.items():
        assert any(f"{{{name}}}" in answer for answer in book.answers.values())
        found = type(book)(slots={name: slot}, answers={"x": f"{{{name}}}"}).fill("x", messages)
        assert found.text


@LANGUAGES
@pytest.mark.parametrize("name", ["questions.csv", "questions_test.csv"])
def test_every_article_that_a_question_names_exists(folder, name):
    rows = read_table(folder / "customer_service" / name, ["question", "article"]).rows
    named = {row.values["article"] for row in rows} - {""}
    assert named <= _articles(folder)
    assert named == _articles(folder)  # every article is asked for
    assert any(not row.values["article"] for row in rows)
    assert len({row.values["question"] for row in rows}) == len(rows)


@LANGUAGES
def test_no_question_kept_apart_stands_among_the_others(folder):
    names = [folder / "customer_service" / f"questions{part}.csv" for part in ("", "_test")]
    seen, kept_apart = ({row.values["question"] for row in read_table(name, ["question"]).rows} for name in names)
    assert not seen & kept_apart
    assert len(kept_apart) >= 120


@LANGUAGES
@pytest.mark.parametrize("name", ["customer_service/intents", "monitoring/labelled"])
def test_no_text_stands_twice_within_or_across_training_and_test(folder, name):
    train, test = (_texts(folder / f"{name}{part}.csv") for part in ("", "_test"))
    assert len(set(train + test)) == len(train) + len(test)


@LANGUAGES
@pytest.mark.parametrize("name", ["customer_service/intents", "monitoring/labelled"])
def test_no_test_text_is_nearly_one_of_training_and_few_resemble_each_other(folder, name):
    train, test = (_texts(folder / f"{name}{part}.csv") for part in ("", "_test"))
    twins = [twin for twin in NearTextIndex(train, weighed_with=test).find_near_duplicates(test) if twin]
    assert twins == []
    # templates filled in with other names would be one text many times
    alike = [twin for twin in NearTextIndex(test).find_near_duplicates_within(min_similarity=0.7) if twin]
    assert len(alike) <= len(test) // 50


def test_english_headlines_are_balanced_over_topics_and_sentiments():
    train, test = _pairs(EN / "monitoring" / "labelled.csv"), _pairs(EN / "monitoring" / "labelled_test.csv")
    assert (len(train), set(train.values())) == (18, {50})
    assert (set(test), set(test.values())) == (set(train), {10})
    assert len({topic for topic, _ in train}) == 6


def test_chinese_headlines_are_balanced_over_topics_and_sentiments():
    train, test = _pairs(ZH / "monitoring" / "labelled.csv"), _pairs(ZH / "monitoring" / "labelled_test.csv")
    assert sum(train.values()) == 150
    assert (len(train), set(train.values())) == (9, {16, 17})
    assert (set(test), set(test.values())) == (set(train), {32})


@pytest.mark.parametrize(("folder", "count"), [(EN, 3000), (ZH, 400)])
def test_the_stream_is_sorted_zoned_and_thirty_days_long(folder, count):
    posts, rejected = read_posts(folder / "monitoring" / "stream.jsonl")
    times = [post.time for post in posts]
    assert (len(posts), rejected) == (count, [])
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)
    assert timedelta(days=29) < times[-1] - times[0] < timedelta(days=30)
    assert len({post.id for post in posts}) == len({post.text for post in posts}) == count


def test_the_known_surge_lies_within_the_stream_on_a_topic_of_the_headlines():
    (surge,) = read_known_surges(EN / "monitoring" / "known_surges.csv")
    posts, _ = read_posts(EN / "monitoring" / "stream.jsonl")
    assert surge.topic in _labels(EN / "monitoring" / "labelled.csv", "topic")
    assert posts[0].time < surge.start < surge.end < posts[-1].time
    assert read_known_surges(ZH / "monitoring" / "known_surges.csv") == []


def test_no_post_of_the_stream_is_a_training_headline():
    for folder in (EN, ZH):
        posts, _ = read_posts(folder / "monitoring" / "stream.jsonl")
        assert not {post.text.casefold() for post in posts} & set(_texts(folder / "monitoring" / "labelled.csv"))


def test_items_events_and_users_are_as_many_as_promised():
    catalogue, rejected = read_catalogue(EN / "recommendation" / "items.csv")
    events, rejected_events = read_events(EN / "recommendation" / "events.csv", catalogue)
    assert rejected == rejected_events == []
    assert (len(catalogue), len(events), len({event.user for event in events})) == (400, 20_000, 600)
    assert len({item.title for item in catalogue.values()}) == 400
    assert all(item.price and item.created and item.tags and item.description for item in catalogue.values())
    assert all(catalogue[event.item].created <= event.time.date() for event in events)
    with (EN / "recommendation" / "events.csv").open(encoding="utf-8", newline="") as file:
        times = [row["time"] for row in csv.DictReader(file)]
    assert times == sorted(times)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_new_workspace_holds_the_sample_records_byte_for_byte(tmp_path, language):
    files = create_workspace(tmp_path / "w", language=language)
    for name in files:
        sample = SAMPLES / language / name
        assert not sample.exists() or (tmp_path / "w" / name).read_bytes() == sample.read_bytes()
    samples = {path.relative_to(SAMPLES / language).as_posix() for path in (SAMPLES / language).rglob("*.*")}
    assert set(files) - samples == {"tunechain.toml"}


def test_the_script_writes_the_streams_byte_for_byte(tmp_path, monkeypatch):
    (tmp_path / "stream_phrases.yaml").write_bytes((SAMPLES / "stream_phrases.yaml").read_bytes())
    monkeypatch.setattr(make_stream, "SAMPLES_DIR", tmp_path)
    make_stream.main()
    for name in ("en/monitoring/stream.jsonl", "en/monitoring/known_surges.csv", "zh/monitoring/stream.jsonl"):
        assert (tmp_path / name).read_bytes() == (SAMPLES / name).read_bytes()
    assert json.loads((tmp_path / "en/monitoring/stream.jsonl").read_text(encoding="utf-8").splitlines()[0])["id"]


def test_the_script_writes_the_events_byte_for_byte(tmp_path):
    shop = EN / "recommendation"
    options = make_events.SimulationOptions()
    events = make_events.simulate_events(shop / "items.csv", SAMPLES / "tastes.yaml", options)
    make_events.write_events(events, tmp_path / "events.csv")
    assert (tmp_path / "events.csv").read_bytes() == (shop / "events.csv").read_bytes()


def test_the_chinese_shop_is_as_large_as_promised_and_in_chinese():
    catalogue, rejected = read_catalogue(ZH / "recommendation" / "items.csv")
    events, rejected_events = read_events(ZH / "recommendation" / "events.csv", catalogue)
    assert rejected == rejected_events == []
    assert (len(catalogue), len(events)) == (200, 5_000)
    assert len({item.title for item in catalogue.values()}) == 200
    assert all(item.price and item.created and item.tags and item.description for item in catalogue.values())
    assert not any(re.search("[A-Za-z]", item.text) for item in catalogue.values())
    assert all(catalogue[event.item].created <= event.time.date() for event in events)


def test_the_script_writes_the_chinese_shop_byte_for_byte(tmp_path):
    make_shop_zh.make_shop(SAMPLES / "shop_zh.yaml", tmp_path)
    for name in ("items.csv", "events.csv"):
        assert (tmp_path / name).read_bytes() == (ZH / "recommendation" / name).read_bytes()
