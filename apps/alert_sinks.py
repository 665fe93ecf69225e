"""Sinks of alerts: the log, a file, a webhook, and mail."""

import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import logging
import math
import os
import smtplib
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from apps.alert_outbox import Message, OutboxRules
from apps.errors import DeliveryError
from apps.outgoing import deadline, login_of, open_connection, path_of, shut_down
from apps.settings import AlertSettings, Settings
from chains.monitoring import MonitoringOptions
from llms.files import end_of_whole_lines

_log = logging.getLogger("apps.alerts")
_TIMEOUT_S = 10.0  # of one connection, from its beginning to its end
_MAIL_S = 30.0  # of a mail, once there is a connection: several replies are waited for
_MAX_REASON_CHARS = 200


class AlertSink(Protocol):
    """Somebody who is told of alerts."""

    def send(self, message: Message) -> None:
        """Tell of an alert; once this returns, the message was taken over.

        Raises:
            DeliveryError: if it was not, or may not have been.
        """


def open_sinks(settings: AlertSettings, *, workspace: Path) -> dict[str, AlertSink]:
    """Return the sinks that are set, by name."""
    sinks: dict[str, AlertSink] = {"log": LogSink()} if settings.log else {}
    if settings.file:
        sinks["file"] = FileSink(workspace / settings.file)
    if settings.webhook_url.get_secret_value():
        url, secret = settings.webhook_url.get_secret_value(), settings.webhook_secret.get_secret_value()
        sinks["webhook"] = WebhookSink(url, secret=secret)
    if settings.mail_to:
        sinks["mail"] = MailSink(settings)
    return sinks


def outbox_rules(settings: Settings) -> OutboxRules:
    """Return which alerts of a workspace the sinks are told of."""
    section = settings.alerts
    hours = section.max_age_hours
    return OutboxRules(
        sinks=tuple(open_sinks(section, workspace=settings.workspace)),
        max_per_day=section.max_per_day,
        max_age=None if math.isinf(hours) else timedelta(hours=hours),
        zone=MonitoringOptions(time_zone=settings.monitoring.time_zone).zone,
    )


class LogSink:
    """Writes the sentence of an alert to the log, at most once; what posts say is not among it."""

    def send(self, message: Message) -> None:
        """Log an alert."""
        if message.may_be_repeat:
            return
        body = message.body
        if body["state"] == "digest":
            _log.warning("%d further alerts on %s", body["num_alerts"], body["day"])
        else:
            _log.warning("alert %s: %s: %s", body["state"], body["topic"], body["reason"])


class FileSink:
    """Appends a line of JSON to a file, exactly once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> None:
        """Append an alert; it is on the disk before this returns."""
        line = json.dumps({"key": message.key, **message.body}, ensure_ascii=False)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and not (self._path.is_file() or self._path.is_dir()):
                msg = "the file is a device or pipe, which cannot be read back"
                raise DeliveryError(msg)
            with self._path.open("a+b") as file:
                file.truncate(end_of_whole_lines(file))  # a kill may have cut the last one
                if message.may_be_repeat and self._holds(message.key):
                    return
                file.write(line.encode("utf-8", "backslashreplace") + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            msg = f"the file cannot be written: {getattr(error, 'strerror', None) or type(error).__name__}"
            raise DeliveryError(msg) from error

    def _holds(self, key: str) -> bool:
        start = json.dumps({"key": key})[:-1].encode()
        with self._path.open("rb") as file:
            return any(line.startswith(start) for line in file)


class WebhookSink:
    """Posts JSON to an address of the operator's, signed, with the same key whenever it is sent again.

    `X-TuneChain-Signature` is `t=SECONDS,v1=HEX`, an HMAC-SHA256 of `SECONDS.BODY` under the secret. A redirect is not
    followed: it would take the message to an address that nobody has set.

    Args:
        url: `http://` or `https://`.
        secret: of the signature; without one there is none.
        timeout_s: of a request, from its beginning to its end.
    """

    def __init__(self, url: str, *, secret: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        self._parts = urlsplit(url)
        self._secret = secret
        self._timeout_s = timeout_s

    def send(self, message: Message) -> None:
        """Post an alert."""
        body = json.dumps(message.body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.key,
            "User-Agent": "TuneChain",
            **self._sign(body),
        }
        try:
            connection = open_connection(self._parts, timeout_s=self._timeout_s)
            with deadline(self._timeout_s, lambda: shut_down(connection)), contextlib.closing(connection):
                connection.request("POST", path_of(self._parts), body=body, headers=headers)
                status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            raise DeliveryError(_explain(error)) from error
        if not 200 <= status < 300:
            hint = "; redirects are not followed" if 300 <= status < 400 else ""
            msg = f"answered with status {status}{hint}"
            raise DeliveryError(msg)

    def _sign(self, body: bytes) -> dict[str, str]:
        headers = login_of(self._parts)
        if self._secret:
            now = str(int(time.time()))
            digest = hmac.new(self._secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
            headers["X-TuneChain-Signature"] = f"t={now},v1={digest}"
        return headers


class MailSink:
    """Sends mail over SMTP; a message that may have gone out before has the same `Message-ID`."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        """Send an alert to all who are to be told."""
        settings = self._settings
        context = ssl.create_default_context()  # smtplib's own checks no certificate
        make = functools.partial(smtplib.SMTP_SSL, context=context) if settings.smtp_security == "tls" else smtplib.SMTP
        try:
            with (
                make(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S) as smtp,
                deadline(_MAIL_S, lambda: shut_down(smtp)),
            ):
                if settings.smtp_security == "starttls":
                    smtp.starttls(context=context)
                if settings.smtp_user:
                    smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
                smtp.send_message(self._compose(message))
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(_explain(error)) from error

    def _compose(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.mail_from
        mail["To"] = ", ".join(self._settings.mail_to)
        mail["Date"] = datetime.now(UTC)
        mail["Message-ID"] = f"<{message.key}@tunechain.invalid>"
        mail["Subject"] = _unencoded(_one_line(_subject(message.body)))
        mail.set_content(_text(message.body).encode("utf-8", "backslashreplace").decode())
        return mail


def _subject(body: Mapping[str, Any]) -> str:
    if body["state"] == "digest":
        return f"TuneChain: {body['num_alerts']} alerts, {body['day']}"
    return f"TuneChain: {body['topic']}: {body['state']}"


def _text(body: Mapping[str, Any]) -> str:
    if body["state"] == "digest":
        return "\n".join(f"{alert['state']} · {alert['topic']}: {alert['reason']}" for alert in body["alerts"])
    causes = [f"> {_one_line(cause['text'])}\n  {cause['source']}, {cause['time']}" for cause in body["causes"]]
    return "\n\n".join([body["reason"], *causes])


def _one_line(text: str) -> str:
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def _unencoded(text: str) -> str:
    """Return a header's text without the mark of encoded words: decoded, they may hold line breaks and so headers."""
    return text.replace("=?", "= ?")


def _explain(error: Exception) -> str:
    """Return what went wrong without the address, which may hold a secret."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, TimeoutError | AttributeError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"[:_MAX_REASON_CHARS]
    return type(error).__name__
