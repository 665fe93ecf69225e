"""Alerts leave by the outbox: once for each state, signed, tried again, and never beyond what was set."""

import contextlib
import email
import hashlib
import hmac
import json
import logging
import smtplib
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from apps.alert_outbox import MAX_TRIES, AlertOutbox, Message, OutboxRules
from apps.alert_sender import AlertSender
from apps.alert_sinks import FileSink, LogSink, MailSink, WebhookSink, open_sinks, outbox_rules
from apps.applications import Applications
from apps.errors import DeliveryError, SettingsError
from apps.monitoring_state import MonitoringStore
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, AlertSettings, load_settings
from chains.monitoring import MonitoringReport, build_monitoring_chain
from tests.apps.conftest import make_post
from tests.apps.monitoring_worlds import make_alert
from tests.chains.monitoring.streams import SENTIMENT, TOPIC, make_posts
from tests.reliability.alert_receivers import receive_mail, receive_posts
from tests.reliability.monitoring import run_alert_kills
from tests.waiting import wait_until


class Clock:
    def __init__(self):
        self.now = datetime(2026, 4, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


class Recording:
    """A sink that keeps what it is told, and refuses while it is closed."""

    def __init__(self):
        self.told, self.is_closed = [], False

    def send(self, message):
        if self.is_closed:
            msg = "closed"
            raise DeliveryError(msg)
        self.told.append((message.body["id"], message.body["state"]))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(clock):
    """A store, its outbox, and a sender to one sink."""
    rules = OutboxRules(sinks=("sink",), max_per_day=3, max_age=None, clock=clock)
    with contextlib.closing(MonitoringStore(rules=rules)) as store:
        outbox, sink = AlertOutbox(store.database, clock=clock), Recording()
        yield store, outbox, sink, AlertSender(outbox, {"sink": sink})


def put(store, *alerts):
    store.add([], MonitoringReport(alerts=alerts), watermark_s=0.0)


def opened(number, **changes):
    closed = make_alert(number)
    return closed.model_copy(update={"state": "open", "closed_at": None, **changes})


MESSAGE = Message(
    seq=1,
    sink="sink",
    key="key-1",
    body={"id": "1", "state": "open", "topic": "费用", "reason": "64 % 负面", "causes": []},
)


def test_each_state_of_an_alert_is_told_once(desk):
    store, _, sink, sender = desk
    for _ in range(2):
        put(store, opened(1))
        put(store, opened(1, escalations=1, escalated_at=make_alert(1).raised_at))
        put(store, make_alert(1))
        sender.send_due()
    assert [state for _, state in sink.told] == ["open", "escalated", "closed"]


def test_a_message_waits_longer_after_each_failure_and_is_dead_after_the_fifth(desk, clock):
    store, outbox, sink, sender = desk
    sink.is_closed = True
    put(store, opened(1))
    put(store, make_alert(1))
    waits = []
    for _ in range(MAX_TRIES):
        sender.send_due()
        waits.append(outbox.next_wait_s(["sink"]))
        clock.now += timedelta(seconds=min(waits[-1], 10_000))
    assert 0 < waits[0] < waits[1] < waits[2] < waits[3]  # the later state does not make it look all the time
    dead, *_ = outbox.deliveries(status="dead")
    assert (dead.state, dead.tries, dead.reason) == ("open", 5, "closed")
    sink.is_closed = False
    sender.send_due()
    assert [state for _, state in sink.told] == ["closed"]  # it waits for the one before it, not for ever
    assert outbox.retry_dead() == 1
    sender.send_due()
    assert [state for _, state in sink.told] == ["closed", "open"]


def test_a_message_that_breaks_its_sink_stands_in_nobodys_way(desk, caplog):
    store, outbox, sink, _ = desk

    class Odd:
        def send(self, message):
            if message.body["id"] == make_alert(1).id:
                raise UnicodeError
            sink.send(message)

    put(store, opened(1), opened(2))
    assert AlertSender(outbox, {"sink": Odd()}).send_due() == 1
    assert [one.status for one in outbox.deliveries(alert=make_alert(1).id)] == ["waiting"]
    assert [one.reason for one in outbox.deliveries(alert=make_alert(1).id)] == ["UnicodeError"]


def test_a_later_state_never_overtakes_an_earlier_one(desk, clock):
    store, _, sink, sender = desk
    sink.is_closed = True
    put(store, opened(1))
    sender.send_due()
    sink.is_closed = False
    put(store, make_alert(1), opened(2))
    sender.send_due()
    assert sink.told == [(opened(2).id, "open")]
    clock.now += timedelta(minutes=1)
    sender.send_due()
    assert [state for _, state in sink.told] == ["open", "open", "closed"]


def test_what_a_sink_is_still_to_be_told_of_waits_until_it_is_set_again(desk, clock):
    store, outbox, sink, _ = desk
    put(store, opened(1))
    other = AlertSender(outbox, {"other": Recording()})
    assert other.send_due() == 0
    assert outbox.next_wait_s(["other"]) == float("inf")  # and nobody looks for it all the time
    assert AlertSender(outbox, {"sink": sink}).send_due() == 1


def test_alerts_beyond_the_number_of_a_day_come_in_one_digest(desk, clock):
    store, _, sink, sender = desk
    put(store, *(opened(number) for number in range(1, 9)))
    put(store, make_alert(7), make_alert(2))
    sender.send_due()
    assert [name for name, _ in sink.told] == [opened(number).id for number in (1, 2, 3, 2)]
    clock.now += timedelta(days=1)
    sender.send_due()
    sender.send_due()
    put(store, opened(20))
    sender.send_due()
    assert sink.told[4:] == [("digest 2026-04-01", "digest"), (opened(20).id, "open")]


def test_days_are_those_of_the_zone(clock):
    zone = ZoneInfo("Asia/Shanghai")
    rules = OutboxRules(sinks=("sink",), max_per_day=1, max_age=None, clock=clock, zone=zone)
    with contextlib.closing(MonitoringStore(rules=rules)) as store:
        put(store, opened(1), opened(2))
        clock.now += timedelta(hours=5)  # 1 o'clock there
        assert AlertOutbox(store.database, clock=clock, zone=zone).make_digests() == 1


def test_what_is_old_is_no_news(clock):
    rules = OutboxRules(sinks=("sink",), clock=clock)
    with contextlib.closing(MonitoringStore(rules=rules)) as store:
        put(store, opened(1), opened(2, raised_at=clock.now - timedelta(hours=23)))
        assert [one.alert for one in AlertOutbox(store.database).deliveries()] == [opened(2).id]


def test_a_webhook_gets_signed_json_with_a_key():
    with receive_posts() as server:
        WebhookSink(f"{server.address}/alerts?token=t", secret="s3cret").send(MESSAGE)
        [(path, headers, body)] = server.requests
    assert path == "/alerts?token=t"
    assert json.loads(body) == MESSAGE.body
    assert headers["Idempotency-Key"] == "key-1"
    seconds, signature = (part.partition("=")[2] for part in headers["X-TuneChain-Signature"].split(","))
    assert signature == hmac.new(b"s3cret", f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_a_webhook_that_does_not_take_it_is_told_and_no_redirect_is_followed(status):
    with receive_posts() as other, receive_posts(statuses=[status], location=other.address) as server:
        with pytest.raises(DeliveryError, match=f"status {status}"):
            WebhookSink(server.address).send(MESSAGE)
        assert other.requests == []


def test_a_webhook_that_trickles_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        sink = WebhookSink(f"http://127.0.0.1:{listener.getsockname()[1]}/secret-path", timeout_s=0.3)
        with pytest.raises(DeliveryError) as raised:
            sink.send(MESSAGE)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://localhost\0secret:1/", "http://localhost:1/sec ret", "http://a..secret/"])
def test_an_address_that_cannot_be_called_is_told_without_it(address):
    with pytest.raises(DeliveryError) as caught:
        WebhookSink(address).send(MESSAGE)
    assert "sec" not in str(caught.value)


def test_a_webhook_that_is_not_there_is_told_without_its_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeliveryError, match="refused") as raised:
        WebhookSink(f"http://user:password@127.0.0.1:{port}/token").send(MESSAGE)
    assert not any(word in str(raised.value) for word in ("password", "token", str(port)))


def test_mail_says_what_happened_and_has_one_id():
    cause = {"source": "forum", "time": "2026-03-02T00:00:00Z", "text": "bad\r\nBcc: all@example.org"}
    message = Message(
        seq=1, sink="mail", key="k1", body={**MESSAGE.body, "topic": "费用\r\nBcc: x@y", "causes": [cause]}
    )
    with receive_mail() as server:
        settings = AlertSettings(
            mail_to=("ann@example.org", "bob@example.org"), smtp_host="127.0.0.1", smtp_port=server.port
        )
        for _ in range(2):
            MailSink(settings).send(message)
        first, second = (email.message_from_bytes(mail, policy=email.policy.default) for mail in server.mails)
    assert first["Message-ID"] == second["Message-ID"] == "<k1@tunechain.invalid>"
    assert first["To"] == "ann@example.org, bob@example.org"
    assert first["Bcc"] is None
    assert first["Subject"].startswith("TuneChain: 费用")
    assert "64 % 负面" in first.get_content()
    assert "> bad  Bcc: all@example.org" in first.get_content()


@pytest.mark.parametrize(
    "topic",
    [
        "=?utf-8?q?a=0d=0aBcc:_x@example.org?=",
        "=?utf-8?b?DQpCY2M6IHhAZXhhbXBsZS5vcmc=?=",
        "=?unicode_escape?q?=5Cud800?=",
        "fees\r\nBcc: x@example.org",
        "fees\u2028Bcc: x@example.org",
    ],
)
def test_no_topic_adds_a_header_to_mail(topic):
    with receive_mail() as server:
        sink = MailSink(AlertSettings(mail_to=("a@example.org",), smtp_host="127.0.0.1", smtp_port=server.port))
        sink.send(replace(MESSAGE, body={**MESSAGE.body, "topic": topic}))
    head = server.mails[0].partition(b"\r\n\r\n")[0].splitlines()
    names = {line.partition(b":")[0].lower() for line in head if not line.startswith((b" ", b"\t"))}
    assert names <= {
        *(b"from", b"to", b"date", b"message-id", b"subject", b"mime-version"),
        *(b"content-type", b"content-transfer-encoding"),
    }


def test_mail_over_tls_checks_the_certificate(monkeypatch):
    contexts = []

    class Refusing(smtplib.SMTP):
        def __init__(self, host, port, *, timeout, context=None):
            contexts.append(context)
            raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(smtplib, "SMTP_SSL", Refusing)
    with pytest.raises(DeliveryError):
        MailSink(AlertSettings(mail_to=("a@example.org",), smtp_security="tls")).send(MESSAGE)
    assert [context.verify_mode for context in contexts] == [ssl.CERT_REQUIRED]
    assert contexts[0].check_hostname


def test_mail_that_is_not_taken_is_told():
    with receive_mail(answer="550 no such mailbox password") as server:
        settings = AlertSettings(mail_to=("ann@example.org",), smtp_host="127.0.0.1", smtp_port=server.port)
        with pytest.raises(DeliveryError, match=r"^the mail server answered 550$"):
            MailSink(settings).send(MESSAGE)


def test_a_line_of_a_file_is_written_once_and_a_cut_line_goes(tmp_path):
    path = tmp_path / "out" / "alerts.jsonl"
    sink, again = FileSink(path), Message(seq=1, sink="file", key="key-1", body=MESSAGE.body, may_be_repeat=True)
    sink.send(again)
    with path.open("ab") as file:
        file.write(b'{"key": "key-2", "cut')
    for _ in range(2):
        sink.send(again)
    other = Message(seq=2, sink="file", key="key-2", body=MESSAGE.body, may_be_repeat=True)
    sink.send(other)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["key"] for row in rows] == ["key-1", "key-2"]
    assert rows[0]["topic"] == "费用"


def test_a_file_that_is_none_is_told(tmp_path):
    for path in (tmp_path, Path("/dev/full"), tmp_path / "a\0b", tmp_path / ("x" * 5_000)):
        with pytest.raises(DeliveryError, match="file"):
            FileSink(path).send(MESSAGE)


def test_the_log_tells_of_an_alert_and_not_what_posts_say(caplog):
    cause = {"source": "forum", "time": "", "text": "private words"}
    with caplog.at_level(logging.WARNING):
        LogSink().send(Message(seq=1, sink="log", key="k", body={**MESSAGE.body, "causes": [cause]}))
    assert "费用: 64 % 负面" in caplog.text
    assert "private" not in caplog.text


def load(folder, text, monkeypatch=None):
    (folder / SETTINGS_NAME).write_text(text, "utf-8")
    return load_settings(folder)


def test_sinks_are_those_that_are_set(tmp_path):
    assert list(open_sinks(load(tmp_path, "").alerts, workspace=tmp_path)) == ["log"]
    text = '[alerts]\nlog = false\nfile = "a.jsonl"\nwebhook_url = "https://x.example/a"\nmail_to = ["a@b.c"]\n'
    settings = load(tmp_path, text + "max_age_hours = inf\nmax_per_day = 5\n")
    assert list(open_sinks(settings.alerts, workspace=tmp_path)) == ["file", "webhook", "mail"]
    rules = outbox_rules(settings)
    assert (rules.sinks, rules.max_age, rules.max_per_day) == (("file", "webhook", "mail"), None, 5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('webhook_url = "file:///etc/passwd?s3cret"', "begins with http:// or https://"),
        ('webhook_url = "ftp://s3cret@x"', "begins with http:// or https://"),
        ('webhook_url = "https:///s3cret"', "begins with http:// or https://"),
        ('mail_to = ["a@b\\nBcc: c@d"]', "has the form name@host"),
        ('smtp_user = "u"\nsmtp_password = "s3cret"\nsmtp_host = "mail.example.org"', "unencrypted"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_without_secrets(tmp_path, line, said):
    with pytest.raises(SettingsError, match=said) as raised:
        load(tmp_path, f"[alerts]\n{line}\n")
    assert "s3cret" not in str(raised.value)


def test_secrets_are_in_no_description_of_the_settings(tmp_path):
    settings = load(tmp_path, '[alerts]\nwebhook_url = "https://x/s3cret"\nwebhook_secret = "s3cret"\n')
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_served_surge_reaches_every_sink_once(tmp_path):
    start = datetime.now(UTC) - timedelta(days=16)
    posts = make_posts(days=16, per_hour=5, surge_at_h=16 * 24 - 12, surge_h=48, start=start)
    lines = [post.model_dump_json() for post in posts]
    (tmp_path / "monitoring").mkdir()
    (tmp_path / "monitoring" / "stream.jsonl").write_text("\n".join(lines), "utf-8")
    with receive_posts(statuses=[503]) as server, receive_mail() as mails:
        text = (
            f'[alerts]\nfile = "alerts.jsonl"\nwebhook_url = "{server.address}/"\nmail_to = ["a@b.c"]\n'
            f'smtp_host = "127.0.0.1"\nsmtp_port = {mails.port}\n'
        )
        settings = load(tmp_path, text)
        chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
        for _ in range(2):
            with TestClient(create_app(settings, applications=Applications(monitoring=chain))) as client:
                wait_until(lambda: not client.get("/v1/alerts").json()["loading"])
                [alert] = client.get("/v1/alerts").json()["alerts"]
                wait_until(lambda client=client, alert=alert: count_done(client, alert) == 4)
        told = {one["sink"]: one["status"] for one in deliveries_of(tmp_path)}
        assert told == {"log": "sent", "file": "sent", "webhook": "waiting", "mail": "sent"}
        assert len((tmp_path / "alerts.jsonl").read_text("utf-8").splitlines()) == len(mails.mails) == 1
        assert len(server.requests) == 1
    assert json.loads(server.requests[0][2])["id"] == alert["id"]


def count_done(client, alert):
    return sum(one["tries"] > 0 and one["status"] != "sending" for one in deliveries(client, alert))


def deliveries(client, alert):
    return client.get("/v1/alert", params={"id": alert["id"]}).json()["deliveries"]


def deliveries_of(folder):
    with contextlib.closing(MonitoringStore(folder / "monitoring.sqlite")) as store:
        return [{"sink": one.sink, "status": one.status} for one in AlertOutbox(store.database).deliveries()]


def test_what_could_not_be_delivered_is_shown(tmp_path):
    settings = load(tmp_path, "")
    rules = OutboxRules(sinks=("webhook",), max_age=None)
    with contextlib.closing(MonitoringStore(settings.monitoring_file, rules=rules)) as store:
        put(store, opened(1))
        store.database.connection.execute("UPDATE outbox SET status = 'dead', reason = 'answered with status 404'")
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(settings, applications=Applications(monitoring=chain))) as client:
        wait_until(lambda: not client.get("/v1/alerts").json()["loading"])
        assert client.get("/v1/alerts").json()["undelivered"] == 1
        [dead] = deliveries(client, {"id": opened(1).id})
        assert (dead["status"], dead["reason"]) == ("dead", "answered with status 404")
        assert "1 message about alerts could not be delivered" in str(client.get("/readyz").json()["problems"])
        assert client.post("/v1/posts", json={"posts": [make_post(1, "app")]}).status_code == 200


def test_kills_lose_and_double_no_message(tmp_path):
    with receive_posts() as server:
        report = run_alert_kills(tmp_path, address=server.address, count=20, seed=3)
        keys = [headers["Idempotency-Key"] for _, headers, _ in server.requests]
    assert report.kills == 20
    assert len(report.states) >= 10
    assert set(keys) == set(report.keys)  # once, or again with the same key
    assert len(report.lines) == len(set(report.lines)) == len(report.states)
    assert set(report.lines) == set(report.keys)
