"""Staff say which alerts were right; what they say is kept, counted, and given to the next training."""

import contextlib
import csv
import json

import pytest
from fastapi.testclient import TestClient
from langchain_core.runnables import RunnableLambda
from typer.testing import CliRunner

from apps import wiring
from apps.alert_outbox import OutboxRules
from apps.applications import Applications
from apps.cli import app
from apps.errors import MonitoringFileError, UnknownAlertError, WorkspaceError
from apps.monitoring_run import MonitoringRun
from apps.monitoring_state import MAX_TRIES, MonitoringStore
from apps.monitoring_view import MonitoringView, open_beside
from apps.readers import read_entities
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.monitoring import ENTITY_PREFIX, Entity, EntityLinker, MonitoringReport, Post, build_monitoring_chain
from tests.apps.conftest import make_post
from tests.apps.monitoring_worlds import make_alert
from tests.chains.monitoring.streams import SENTIMENT, TOPIC, make_posts
from tests.waiting import wait_until

SURGE = make_posts(days=18, per_hour=5, surge_at_h=17 * 24 - 12, surge_h=48)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("", "utf-8")
    return load_settings(tmp_path)


@pytest.fixture
def chain():
    return build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)


@pytest.fixture
def surge(settings, chain):
    """The settings of a workspace whose monitor has seen a surge, and the id of its alert."""
    with contextlib.closing(MonitoringStore(settings.monitoring_file)) as store:
        run = MonitoringRun(chain, store)
        for at in range(0, len(SURGE), 256):
            run.take(SURGE[at : at + 256])
        run.keep_learnt()
        [alert], _ = MonitoringView(store.database).read_alerts()
    return settings, alert.id


@contextlib.contextmanager
def served(settings, chain):
    with TestClient(create_app(settings, applications=Applications(monitoring=chain))) as client:
        wait_until(lambda: not client.get("/v1/alerts").json()["loading"])
        yield client


def test_a_verdict_is_kept_counted_and_survives_a_restart(surge, chain):
    settings, name = surge
    with served(settings, chain) as client:
        assert client.get("/v1/alerts").json()["precision"]["precision"] is None
        reply = client.put("/v1/alert/verdict", json={"alert": name, "verdict": "confirmed"})
        assert (reply.json()["verdict"], reply.json()["judge"]) == ("confirmed", "local")
    with served(settings, chain) as client:
        shown = client.get("/v1/alerts").json()
        assert shown["alerts"][0]["verdict"] == "confirmed"
        assert shown["precision"] == {"confirmed": 1, "rejected": 0, "days": 90, "precision": 1.0}
        assert client.get("/v1/alerts?judged=new").json()["alerts"] == []
        assert len(client.get("/v1/alerts?judged=confirmed").json()["alerts"]) == 1
        client.put("/v1/alert/verdict", json={"alert": name, "verdict": None})
        assert client.get("/v1/alerts").json()["alerts"][0]["verdict"] is None
        assert client.put("/v1/alert/verdict", json={"alert": "x", "verdict": "confirmed"}).status_code == 404
        assert client.put("/v1/alert/verdict", json={"alert": name, "verdict": "maybe"}).status_code == 422


def test_an_alert_is_shown_with_its_cause_and_the_trend_around_it(surge, chain):
    settings, name = surge
    with served(settings, chain) as client:
        shown = client.get("/v1/alert", params={"id": name}).json()
        assert len(shown["alert"]["causes"]) == 5
        starts = [point["start"] for point in shown["chart"]["points"]]
        assert starts[0] < shown["alert"]["since"] < starts[-1]
        assert {point["topic"] for point in shown["chart"]["points"]} == {"app"}
        assert client.get("/v1/alert?id=nothing").status_code == 404


def test_posts_of_a_rejected_alert_are_rows_to_look_at_again(surge):
    settings, name = surge
    with contextlib.closing(MonitoringView(open_beside(settings.monitoring_file))) as view:
        alert = view.judge(name, "rejected", judge="ann")
        rows = view.read_review()
        assert {cause.text for cause in alert.causes} <= {row["text"] for row in rows}
        assert {(row["topic"], row["sentiment"], row["alert"]) for row in rows} == {("app", "negative", name)}
        assert 10 < len(rows) <= 50
        view.judge(name, "confirmed", judge="ann")
        assert view.read_review() == []
        with pytest.raises(UnknownAlertError, match="there is no alert 'x'"):
            view.judge("x", "rejected", judge="ann")


def call(*words, **options):
    return CliRunner().invoke(app, ["monitor", *map(str, words)], catch_exceptions=False, **options)


def test_the_command_line_judges_beside_a_server(surge, chain, tmp_path):
    settings, name = surge
    at = ("-w", settings.workspace)
    with served(settings, chain) as client:
        assert f"{name} · not judged" in call("alerts", *at).stdout
        assert f"{name} is rejected" in call("reject", name, *at).stdout
        assert client.get("/v1/alerts").json()["precision"]["precision"] == 0.0
    result = call("alerts", "--judged", "rejected", *at)
    assert f"{name} · rejected" in result.stdout
    assert "0 % of the alerts judged in 90 days were right (0 of 1)" in result.stderr
    out = tmp_path / "review.csv"
    call("review", "--out", out, *at)
    with out.open(encoding="utf-8") as file:
        assert {row["sentiment"] for row in csv.DictReader(file)} == {"negative"}
    with pytest.raises(WorkspaceError, match="is there already"):
        call("review", "--out", out, *at)
    assert json.loads(call("confirm", name, *at, "--json").stdout)["verdict"] == "confirmed"


def test_an_empty_list_says_so(settings):
    at = ("-w", settings.workspace)
    assert "no alerts yet" in call("alerts", *at).stderr
    assert "no alerts that are rejected" in call("alerts", "--judged", "rejected", *at).stderr
    assert "[alerts] in tunechain.toml" in call("outbox", *at).stderr
    assert call("alerts", *at, "--json").output == ""
    assert call("outbox", *at, "--json").output == ""


def test_what_cannot_be_read_is_shown_and_tried_again(settings, chain, monkeypatch):
    def fail(text):
        if "poison" in text:
            msg = "cannot be read"
            raise ValueError(msg)
        return TOPIC.invoke(text)

    broken = build_monitoring_chain(topic=RunnableLambda(fail), sentiment=SENTIMENT)
    poison, other = (Post(**make_post(n, text)) for n, text in ((1, "app poison"), (2, "app")))
    with contextlib.closing(MonitoringStore(settings.monitoring_file)) as store:
        run = MonitoringRun(broken, store)
        reports = [run.take([poison, other]) for _ in range(MAX_TRIES + 3)]
    assert [report.failed for report in reports] == [1] * MAX_TRIES + [0] * 3
    assert [report.duplicates for report in reports[-3:]] == [2] * 3
    at = ("-w", settings.workspace)
    assert "forum · p1 · 5 tries · ValueError: cannot be read" in call("dead-letters", *at).stdout
    monkeypatch.setattr(wiring, "build_monitoring", lambda _: chain)
    with (
        contextlib.closing(MonitoringStore(settings.monitoring_file)),
        pytest.raises(MonitoringFileError, match="POST /v1/dead-letters/retry"),
    ):
        call("dead-letters", "--retry", *at)
    result = call("dead-letters", "--retry", *at)
    assert ("1 post can be read now" in result.stderr, result.stdout.strip()) == (True, "no posts that cannot be read")


def test_what_cannot_be_read_is_tried_again_over_http(settings):
    words = ["poison"]

    def fail(text):
        if words[0] in text:
            msg = "cannot be read"
            raise ValueError(msg)
        return TOPIC.invoke(text)

    with served(settings, build_monitoring_chain(topic=RunnableLambda(fail), sentiment=SENTIMENT)) as client:
        client.post("/v1/posts", json={"posts": [make_post(1, "app poison"), make_post(2, "app")]})
        [letter] = client.get("/v1/dead-letters").json()["dead_letters"]
        assert (letter["id"], letter["tries"]) == ("p1", 1)
        assert client.post("/v1/dead-letters/retry", json={}).json()["counted"] == 0
        words[0] = "nothing"
        assert client.post("/v1/dead-letters/retry", json={}).json() == {"counted": 1, "late": 0, "dead_letters": []}


def test_dead_messages_are_shown_and_tried_again(settings):
    rules = OutboxRules(sinks=("webhook",), max_age=None)
    with contextlib.closing(MonitoringStore(settings.monitoring_file, rules=rules)) as store:
        store.add([], MonitoringReport(alerts=(make_alert(1),)), watermark_s=0.0)
        store.database.connection.execute("UPDATE outbox SET status = 'dead', reason = 'no answer in time'")
    at = ("-w", settings.workspace)
    assert "dead · webhook · topic-1@1 · closed · 0 tries · no answer in time" in call("outbox", *at).stdout
    assert "1 message is tried again" in call("outbox", "--retry", *at).stderr
    assert json.loads(call("outbox", *at, "--json").stdout)["status"] == "waiting"


# --- companies

ENTITIES = """
- name: Apple
  aliases: [Apple Inc., 苹果公司]
  tickers: [AAPL]
- name: 贵州茅台
  aliases: [茅台]
  tickers: ["600519"]
- name: Ford
  tickers: [F]
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("APPLE falls", ["Apple"]),
        ("pineapple and applesauce", []),
        ("今天苹果公司和茅台大跌", ["Apple", "贵州茅台"]),
        ("看好Apple今天", ["Apple"]),
        ("buy $aapl, sell aapl", ["Apple"]),
        ("sell aapl", []),
        ("AAPL.", ["Apple"]),
        ("买入600519", ["贵州茅台"]),
        ("16005190", []),
        ("an F for effort", []),
        ("short $f", ["Ford"]),
        ("Ａｐｐｌｅ", ["Apple"]),
    ],
)
def test_companies_are_found_by_name_alias_and_ticker(tmp_path, text, found):
    (tmp_path / "entities.yaml").write_text(ENTITIES, "utf-8")
    assert list(EntityLinker(read_entities(tmp_path / "entities.yaml")).find(text)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- nme: x", "name"),
        ("- name: x\n  alias: [y]", "alias"),
        ("- name: x\n  tickers: [600519]", "put it in quotes"),
        ("- name: x\n- name: x", "names 'x' twice"),
        ("x", "a list of companies"),
    ],
)
def test_a_list_of_companies_that_cannot_be_read_is_told(tmp_path, text, said):
    (tmp_path / "entities.yaml").write_text(text, "utf-8")
    with pytest.raises(WorkspaceError, match=said):
        read_entities(tmp_path / "entities.yaml")


def test_no_list_of_companies_is_needed(tmp_path):
    assert read_entities(tmp_path / "entities.yaml") == []
    (tmp_path / "entities.yaml").write_text("# none yet", "utf-8")
    assert read_entities(tmp_path / "entities.yaml") == []


def test_a_company_is_watched_like_a_topic_also_after_a_restart(tmp_path):
    named = [post.model_copy(update={"text": f"{post.text} at Acme"}) for post in SURGE]
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT, entities=[Entity(name="Acme")])
    whole = chain.invoke({"posts": named})
    assert [alert.topic for alert in whole.alerts] == ["app", f"{ENTITY_PREFIX}Acme"]
    plain, company = whole.alerts
    assert (plain.since, plain.raised_at, plain.reason) == (company.since, company.raised_at, company.reason)
    path = tmp_path / "monitoring.sqlite"
    for at in range(0, len(named), 1_000):
        with contextlib.closing(MonitoringStore(path)) as store:
            run = MonitoringRun(chain, store)
            for start in range(at, min(at + 1_000, len(named)), 100):
                run.take(named[start : min(start + 100, at + 1_000)])
    with contextlib.closing(MonitoringView(open_beside(path))) as view:
        kept, _ = view.read_alerts()
        assert {alert.id for alert in kept} == {alert.id for alert in whole.alerts}
        view.judge(company.id, "rejected", judge="ann")
        assert view.read_review()[0]["text"].endswith("at Acme")
