"""The parts put together from settings: what is missing is named with the command that makes it."""

import csv
import shutil
from datetime import UTC, datetime

import pytest

from apps.errors import NotBuiltError, SettingsError, WorkspaceError
from apps.known_answers import LEARNT_NAMES
from apps.settings import SETTINGS_NAME, load_settings
from apps.wiring import (
    ITEM_MODELS_NAME,
    build_customer_service,
    build_event_recorder,
    build_monitoring,
    build_recommendation,
    open_conversations,
    read_behaviour,
    scenarios,
)
from apps.workspace_models import open_chat_model, open_classifier, open_embeddings, open_store
from chains.customer_service import ServiceReply
from chains.monitoring import MonitoringReport, MonitoringRequest, Post
from chains.recommendation import Recommendation
from llms import LocalEmbeddings
from llms.errors import DataFileError, ModelFolderError, ModelNotFoundError, TuneChainError
from llms.fakes import FixedClassifier
from retrievers import Event
from retrievers.errors import StoreMismatchError
from tests.apps.workspaces import build_workspace, load_built, posts, write_csv, write_workspace
from tests.tiny_models import build_sentence_encoder


@pytest.fixture
def built(tmp_path_factory, encoder_folder):
    """The settings of a workspace after its quickstart; do not change it."""
    return load_built(tmp_path_factory, encoder_folder)


@pytest.fixture
def raw(tmp_path, encoder_folder):
    """The settings of a workspace with records and nothing trained."""
    return load_settings(write_workspace(tmp_path / "raw", encoder_folder))


@pytest.fixture
def copied(tmp_path, tmp_path_factory, encoder_folder):
    """A copy of the built workspace, to be broken."""
    return shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "copy")


@pytest.mark.parametrize("build", [build_customer_service, build_monitoring, build_recommendation])
def test_what_was_not_built_is_named_with_the_command_that_builds_it(raw, build):
    with pytest.raises(NotBuiltError, match=r"there is no .*(models|index).* yet; build it with: tunechain quickstart"):
        build(raw)


def test_an_index_that_was_not_built_is_not_made_by_reading(raw):
    with pytest.raises(NotBuiltError, match="index/knowledge"):
        open_store(raw, "knowledge")
    assert not raw.index_folder.exists()


def test_every_chain_answers_after_the_quickstart(built):
    assert isinstance(build_customer_service(built).invoke("where is my parcel"), ServiceReply)
    request = MonitoringRequest(posts=tuple(Post(**post) for post in posts(3)))
    assert isinstance(build_monitoring(built).invoke(request), MonitoringReport)
    chosen = build_recommendation(built).invoke({"user": "u1", "k": 3})
    assert isinstance(chosen, Recommendation)
    assert len(chosen.items) == 3


def test_reasons_are_in_the_language_of_the_workspace(copied):
    with (copied / SETTINGS_NAME).open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(f'language = "zh"\n{text}')
    listed = build_recommendation(load_settings(copied)).invoke({"user": "nobody", "k": 5})
    assert listed.items
    assert all(item.reason.endswith("。") for item in listed.items)


KNOWN = "- id: gift\n  question: Do gift cards expire?\n  answer: After five years.\n"


def test_what_is_learnt_from_records_is_learnt_once(copied, monkeypatch):
    (copied / "customer_service" / "known_questions.yaml").write_text(KNOWN, encoding="utf-8")
    settings, question = load_settings(copied), "Do gift cards expire?"
    for name in (*LEARNT_NAMES, ITEM_MODELS_NAME):
        (settings.models_folder / name).unlink(missing_ok=True)
    told = build_customer_service(settings).invoke(question)
    listed = build_recommendation(settings, clock=_spring).invoke({"user": "u1", "k": 5})
    with monkeypatch.context() as patched:
        for name in ("known_answers.fit_known_questions", "wiring.learn_item_models"):
            patched.setattr(f"apps.{name}", None)  # calling it would fail
        again = build_customer_service(settings).invoke(question)
        assert again.model_copy(update={"steps": told.steps}) == told
        assert build_recommendation(settings, clock=_spring).invoke({"user": "u1", "k": 5}) == listed
    known = copied / "customer_service" / "known_questions.yaml"
    known.write_text(KNOWN.replace("five", "six"), encoding="utf-8")
    assert told.text == "After five years."
    assert build_customer_service(settings).invoke(question).text == "After six years."


def test_a_workspace_keeps_its_conversations(copied):
    settings = load_settings(copied)
    message = {"owner": "shop", "conversation": "c1", "message_id": "m1", "text": "where is my parcel"}
    with open_conversations(settings) as conversations:
        reply = conversations.send(**message)
    assert settings.conversations_file.exists()
    with open_conversations(settings, chain=build_customer_service(settings)) as conversations:
        assert conversations.send(**message) == reply


def test_settings_reach_the_chains(copied):
    with (copied / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write('[customer_service]\nmin_relevance = 1.0\nhandover_text = "One moment."\n')
        file.write("[recommendation]\nfilter_already_seen = false\n[monitoring]\nwarm_up_days = 1\n")
    settings = load_settings(copied)
    # a classifier over random weights may take one stranger for a message, but not every one
    strangers = ["zzz zzz", "完全别的", "0 0 0 0", "¿?", "lorem ipsum dolor"]
    assert "One moment." in {reply.text for reply in build_customer_service(settings).batch(strangers)}
    seen = {event.item for event in read_behaviour(settings)[1].history("u1")}
    chosen = build_recommendation(settings).invoke({"user": "u1", "k": 16})
    assert seen & {item.id for item in chosen.items}


def test_a_message_is_answered_by_the_workspace_of_its_language(copied, tmp_path):
    chinese = shutil.copytree(copied, tmp_path / "shop-zh")
    for folder, text in ((copied, ""), (chinese, 'language = "zh"\n')):
        path = folder / "tunechain.toml"
        path.write_text(text + path.read_text("utf-8"), encoding="utf-8")
    with (chinese / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write('[customer_service]\nmin_relevance = 1.0\nhandover_text = "请稍候。"\nclarify_probability = 1.0\n')
    with (copied / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write('[customer_service]\nlanguage_workspaces = ["../shop-zh"]\n')
    chain = build_customer_service(load_settings(copied))
    assert "请稍候。" in {reply.text for reply in chain.batch(["完全别的", "天气好吗", "你喜欢诗吗"])}
    assert chain.invoke("where is my parcel").text != "请稍候。"


def test_two_workspaces_of_one_language_are_refused(copied, tmp_path):
    shutil.copytree(copied, tmp_path / "other")
    with (copied / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write('[customer_service]\nlanguage_workspaces = ["../other"]\n')
    with pytest.raises(SettingsError, match="language 'en' has a workspace already"):
        build_customer_service(load_settings(copied))


def test_one_store_is_shared_by_all_who_have_equal_settings(built):
    assert open_store(built, "knowledge") is open_store(load_settings(built.workspace), "knowledge")
    assert open_store(built, "items") is not open_store(built, "knowledge")


def test_an_index_of_another_encoder_is_refused_with_both_names(copied, tmp_path):
    before = load_settings(copied).models.encoder  # of the process that built the workspace for all
    other = build_sentence_encoder(tmp_path / "other-encoder", seed=1)
    text = (copied / "tunechain.toml").read_text(encoding="utf-8")
    (copied / "tunechain.toml").write_text(text.replace(before, str(other)), encoding="utf-8")
    for create in (False, True):
        with pytest.raises(StoreMismatchError) as caught:
            open_store(load_settings(copied), "knowledge", create=create)
        message = str(caught.value)
        assert before in message
        assert str(other) in message
        assert f"run: tunechain models use {other} -w {copied}" in message


@pytest.mark.parametrize(
    ("path", "content", "error"),
    [
        ("models/intent/manifest.json", "{}", ModelFolderError),
        ("models/interest.json", "{}", ModelFolderError),
        ("models/interest.json", '{"version": 2}', ModelFolderError),
        ("index/knowledge/store.sqlite", "no database", TuneChainError),
        ("customer_service/templates.yaml", "answers: {a: '{'}", WorkspaceError),
        ("recommendation/items.csv", "id\na\n", DataFileError),
        ("recommendation/events.csv", "", DataFileError),
    ],
)
def test_a_damaged_file_is_named_with_an_error_of_ours(copied, path, content, error):
    assert (copied / path).exists()
    for file in (copied / path).parent.glob(f"{(copied / path).name}*"):
        file.unlink()  # also what SQLite keeps beside its file
    (copied / path).write_text(content, encoding="utf-8")
    settings = load_settings(copied)
    build = build_recommendation if "rec" in path or "interest" in path else build_customer_service
    with pytest.raises(error, match=path.split("/")[1]):
        build(settings)


def test_a_folder_that_is_no_classifier_is_refused(raw, tmp_path):
    (raw.models_folder / "intent").mkdir(parents=True)
    with pytest.raises(ModelFolderError, match="intent"):
        open_classifier(raw, "intent").invoke("hello")


def test_an_encoder_that_is_not_there_is_refused_with_its_name(tmp_path):
    settings = load_settings(write_workspace(tmp_path / "w", tmp_path / "no-encoder"))
    with pytest.raises(ModelNotFoundError, match="no-encoder"):
        open_embeddings(settings)


def test_a_chat_model_is_opened_only_where_one_is_set(raw, tmp_path, chat_folder, encoder_folder):
    assert open_chat_model(raw) is None
    text = "[customer_service]\nmin_relevance = 0.0\n"
    folder = write_workspace(tmp_path / "chat", encoder_folder, settings=text)
    toml = (folder / "tunechain.toml").read_text(encoding="utf-8")
    (folder / "tunechain.toml").write_text(
        toml.replace("[models]", f"[models]\nchat = '{chat_folder}'"), encoding="utf-8"
    )
    model = open_chat_model(load_settings(folder))
    assert open_chat_model(load_settings(folder)) is model
    assert model.invoke("hello", max_tokens=3).text


def test_a_workspace_sets_how_its_chat_model_answers(tmp_path, chat_folder):
    text = (
        f"[models]\nchat = '{chat_folder}'\nchat_engine = 'torch'\nchat_max_tokens = 5\nchat_temperature = 0.7\n"
        "chat_thinking = 'off'\n"
    )
    (tmp_path / "tunechain.toml").write_text(text, encoding="utf-8")
    model = open_chat_model(load_settings(tmp_path))
    assert (model.max_tokens, model.temperature) == (5, 0.7)
    assert (model.template_options, model.adapter) == ({"enable_thinking": False}, None)
    assert model.invoke("hello").usage_metadata["output_tokens"] == 5


def test_tenants_with_the_same_chat_model_share_its_weights_and_no_prompt(tmp_path, chat_folder):
    def open_for(name, **options):
        (tmp_path / name).mkdir(exist_ok=True)
        text = f"[models]\nchat = '{chat_folder}'\nchat_engine = 'torch'\n"
        (tmp_path / name / "tunechain.toml").write_text(text, encoding="utf-8")
        return open_chat_model(load_settings(tmp_path / name), **options)

    def num_cached(model):
        message = model.invoke("Where is the parcel that I ordered for my mother?", max_tokens=1)
        return message.usage_metadata["input_token_details"]["cache_read"]

    acme, beta = open_for("acme"), open_for("beta")
    assert acme._loaded.engine is beta._loaded.engine
    assert [num_cached(acme), num_cached(beta)] == [0, 0]
    assert min(num_cached(acme), num_cached(beta)) > 40
    in_chinese = open_for("acme-zh", tenant=load_settings(tmp_path / "acme").workspace)
    assert num_cached(in_chinese) > 40  # another language of the same tenant


def test_what_a_chat_model_keeps_of_prompts_is_bounded_by_the_workspace(tmp_path, chat_folder):
    text = f"[models]\nchat = '{chat_folder}'\nchat_engine = 'torch'\nchat_cache_mb = {{}}\n"
    (tmp_path / SETTINGS_NAME).write_text(text.format(1), "utf-8")
    assert open_chat_model(load_settings(tmp_path)).max_kv_cache_mb == 1
    (tmp_path / SETTINGS_NAME).write_text(text.format(0), "utf-8")
    with pytest.raises(SettingsError, match="chat_cache_mb"):
        load_settings(tmp_path)


def test_use_cases_without_records_are_left_out(raw):
    assert scenarios(raw) == ["customer_service", "monitoring", "recommendation"]
    shutil.rmtree(raw.workspace / "monitoring")
    assert scenarios(raw) == ["customer_service", "recommendation"]


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("events.csv", "u1,nothing,view,2026-01-01T00:00:00Z", "item 'nothing' is not in the catalogue"),
        ("events.csv", "u1,g0-0,view,yesterday", "time: must be a time with a zone"),
        ("items.csv", "x,X,,,19.90 EUR,", "price: must be a number"),
    ],
)
def test_records_that_are_set_aside_are_told_whenever_they_are_read(raw, caplog, name, row, reason):
    path = raw.records_folder(raw.recommendation) / name
    path.write_text(path.read_text("utf-8") + row + "\n", encoding="utf-8")
    lines = path.read_text("utf-8").count("\n")
    read_behaviour(raw)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"1 rows of {path} are set aside, the first in line {lines}: {reason}")


def test_events_that_were_appended_twice_are_told(raw, caplog):
    path = raw.records_folder(raw.recommendation) / "events.csv"
    before = read_behaviour(raw)[1]
    assert not caplog.records
    header, *rows = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([header, *rows, *rows, ""]), encoding="utf-8")
    assert read_behaviour(raw)[1].events == before.events
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{len(rows)} of {2 * len(rows)} events in {path} stand there before")


def _spring():
    return datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value"), [("stock", "0"), ("available_from", "2026-06-01"), ("created", "2026-06-01")]
)
def test_what_cannot_be_had_is_not_recommended(copied, column, value):
    path = copied / "recommendation" / "items.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = build_recommendation(load_settings(copied), clock=_spring).invoke({"user": "u1"}).items[0].id
    for row in rows:
        row[column] = value if row["id"] == first else row.get(column, "")
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    listed = build_recommendation(load_settings(copied), clock=_spring).invoke({"user": "u1", "k": 16})
    assert listed.items
    assert first not in {item.id for item in listed.items}


def test_what_was_looked_at_comes_again_after_the_days_of_the_setting(copied):
    with (copied / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write("[recommendation]\nlook_again_days = inf\n")
    settings = load_settings(copied)
    seen = {event.item for event in read_behaviour(settings)[1].history("u1")}
    listed = build_recommendation(settings, clock=_spring).invoke({"user": "u1", "k": 16})
    assert not seen & {item.id for item in listed.items}


def _record(copied, **fields):
    values = {"user": "u1", "item": "i3", "event": "buy", "time": "2026-04-30T00:00:00Z"} | fields
    return build_event_recorder(load_settings(copied), clock=_spring).record([Event(**values)])


def test_a_recorded_event_stays_when_events_csv_is_replaced(copied):
    assert _record(copied).num_recorded == 1
    path = copied / "recommendation" / "events.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-100]), "utf-8")
    _, interactions = read_behaviour(load_settings(copied))
    assert len(interactions) == 600 - 100 + 1
    assert "2026-04-30" in str(interactions.history("u1")[-1].time)


def test_a_list_counts_what_was_recorded_since_the_chain_was_built(copied):
    chain = build_recommendation(load_settings(copied), clock=_spring)
    assert chain.invoke({"user": "nobody"}).cold
    _record(copied, user="nobody")
    listed = chain.invoke({"user": "nobody", "k": 16})
    assert not listed.cold
    assert "i3" not in {item.id for item in listed.items}


def test_comments_of_events_csv_are_read_by_the_sentiment_model(copied, monkeypatch):
    path = copied / "recommendation" / "events.csv"
    with path.open(encoding="utf-8") as file:
        rows = [row | {"text": ""} for row in csv.DictReader(file)]
    rows[0] |= {"event": "comment", "text": "terrible"}
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    sentiment = FixedClassifier({"terrible": "negative"}, default="neutral")
    monkeypatch.setattr("apps.wiring.open_classifier", lambda _settings, _name: sentiment)
    events = read_behaviour(load_settings(copied))[1].events
    assert [event.opinion for event in events if event.text] == [pytest.approx(-1.0, abs=0.5)]


def _change_items(copied, item, **values):
    path = copied / "recommendation" / "items.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = [row | (values if row["id"] == item else {}) for row in rows]
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])


def test_a_start_encodes_only_the_texts_that_changed_and_solves_nothing_for_a_price(copied, monkeypatch):
    build_recommendation(load_settings(copied), clock=_spring)
    encoded = []
    encode = LocalEmbeddings._encode

    def count(self, texts, role):
        encoded.extend(texts)
        return encode(self, texts, role)

    monkeypatch.setattr(LocalEmbeddings, "_encode", count)
    with monkeypatch.context() as patched:
        patched.setattr("apps.wiring.learn_item_models", None)  # calling it would fail
        _change_items(copied, "i3", price="99")
        build_recommendation(load_settings(copied), clock=_spring)
        _record(copied)
        build_recommendation(load_settings(copied), clock=_spring)
    assert encoded == []
    _change_items(copied, "i3", title="another thing altogether")
    build_recommendation(load_settings(copied), clock=_spring)
    (text,) = encoded
    assert text.startswith("another thing altogether")


def test_where_nothing_may_be_written_events_csv_is_all_that_is_known(copied, monkeypatch, caplog):
    expected = read_behaviour(load_settings(copied))[1].events
    for path in copied.glob("events.sqlite*"):
        path.unlink()

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("apps.sqlite_files.make_private", refuse)
    settings = load_settings(copied)
    assert read_behaviour(settings)[1].events == expected
    assert not build_recommendation(settings, clock=_spring).invoke({"user": "u1"}).cold
    assert "only events.csv counts" in caplog.text
