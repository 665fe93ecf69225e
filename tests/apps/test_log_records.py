"""Logs of the server and the command line: no personal data in any field, and one line for each record."""

import io
import logging
import subprocess
import sys

import pytest
from fastapi.testclient import TestClient
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.log_records import redact_logs
from apps.server.app import create_app

CANARIES = {
    "e-mail": "canary77@example.com",
    "card": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "id number": "11010519491231002X",
    "phone": "+49 30 12345678",
    "key": f"Bearer tc_0123456789ab_{'a1' * 32}",
}
WORDS = " ; ".join(CANARIES.values())


@pytest.fixture
def log():
    """What a handler of somebody else writes."""
    logger = logging.getLogger("a.foreign.library")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    before = logging.getLogRecordFactory()
    redact_logs()
    yield logger, written
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)


def assert_no_canary(text):
    for canary in CANARIES.values():
        assert canary not in text
        assert canary.replace(" ", "%20") not in text


@pytest.mark.parametrize("kind", CANARIES)
def test_a_message_its_arguments_and_a_traceback_hold_no_personal_data(log, kind):
    logger, written = log
    canary = CANARIES[kind]
    logger.error(f"in the message {canary}")
    logger.error("in an argument %s and %r", canary, {"text": canary})
    logger.error("in an error %s", ValueError(canary))
    logger.error("in a mapping %(text)s", {"text": canary})
    try:
        try:
            raise KeyError(canary)
        except KeyError as error:
            raise ExceptionGroup(canary, [ValueError(canary)]) from error
    except ExceptionGroup:
        logger.exception("in a traceback")
    text = written.getvalue()
    assert canary not in text
    assert text.count(f"[{kind}]") == 8
    assert "test_log_records.py" in text  # where it happened stays


def test_no_value_makes_a_second_line(log):
    logger, written = log
    forged = "x\nERROR a.foreign.library forged\r\x1b[31m\u2028red\u202e"
    logger.error("value %s", forged)
    logger.error("value %s", ValueError(forged))
    try:
        raise ValueError(forged)
    except ValueError as error:
        error.add_note(forged)
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    assert [line for line in lines if line.startswith("ERROR")] == [*lines[:2], "ERROR a.foreign.library failed"]
    assert lines[0].endswith(r"x\nERROR a.foreign.library forged\r\u001b[31m\u2028red\u202e")
    assert all(line.isprintable() for line in lines)


def test_a_call_with_wrong_arguments_is_told_and_raises_nothing(log):
    logger, written = log
    logger.error("%d of %s", CANARIES["card"])
    assert "does not fit its arguments" in written.getvalue()
    assert_no_canary(written.getvalue())


def test_a_formatter_that_reads_single_arguments_still_finds_them(log):
    logger, _ = log
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    logger.info("%s", "nobody listens")
    logger.error('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/x?q={CANARIES['e-mail']}", "1.1", 200)
    logger.removeHandler(handler)
    assert records[-1].args == ("127.0.0.1:1", "GET", "/x?q=[e-mail]", "1.1", 200)


def test_a_very_long_message_is_cut_and_says_so(log):
    logger, written = log
    logger.error("x" * 60_000)
    assert "(10000 characters more)" in written.getvalue()


@pytest.fixture
def served(settings, caplog):
    """A client of a server whose chain fails with what it was asked, and all that is logged meanwhile."""
    caplog.set_level(logging.DEBUG)

    def fail(request):
        raise RuntimeError(f"cannot answer {request.text}")

    before = logging.getLogRecordFactory()
    app = create_app(settings, applications=Applications(customer_service=RunnableLambda(fail)))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), raise_server_exceptions=False) as client:
        yield client, caplog
    logging.setLogRecordFactory(before)


def test_no_field_of_a_request_brings_personal_data_into_the_log(served):
    client, caplog = served
    conversation = "0b6f1c1e-6b7e-4d1f-9a52-0d0d6a2a2f11"
    headers = {name: WORDS.replace("\n", " ") for name in ("User-Agent", "Referer", "X-Note", "Cookie")}
    for path in (f"/v1/models/{WORDS}", f"/v1/conversations/{conversation}?owner={WORDS}", f"/search?q={WORDS}"):
        client.get(path, headers=headers)
    client.post("/v1/ask", json={"text": WORDS}, headers=headers)
    client.post("/v1/ask", json={"text": 5, WORDS: WORDS}, headers=headers)
    client.post(f"/v1/conversations/{conversation}/messages", json={"message_id": "m1", "text": WORDS})
    client.post("/v1/ask", content=WORDS, headers={"Content-Type": WORDS})
    assert "cannot answer [e-mail] ; [card]" in caplog.text
    assert_no_canary(caplog.text)


# what belongs to the whole process is tried in one of its own
_PROGRAM = """
import threading, warnings
from apps.log_records import log_uncaught_errors, start_logging
start_logging(layout="LOG %(message)s")
log_uncaught_errors()
{body}
"""


def run_program(body):
    code = _PROGRAM.format(body=body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_warnings_and_errors_that_nobody_handles_are_redacted_too():
    done = run_program(f"""
warnings.warn({WORDS!r})
thread = threading.Thread(target=lambda: 1 / int({CANARIES["e-mail"]!r})); thread.start(); thread.join()
raise RuntimeError({WORDS!r})
""")
    assert done.returncode == 1
    assert done.stderr.count("LOG an error that nobody handles") == 2
    assert "RuntimeError: [e-mail] ; [card]" in done.stderr
    assert "UserWarning: [e-mail]" in done.stderr
    assert_no_canary(done.stderr)


def test_who_ends_the_program_at_the_keyboard_reads_what_they_always_read():
    done = run_program("raise KeyboardInterrupt")
    assert "KeyboardInterrupt" in done.stderr
    assert "LOG" not in done.stderr


def test_times_of_the_log_are_in_a_zone_that_is_named():
    start = (
        r"import logging; from apps.log_records import start_logging; start_logging(layout='%(asctime)s %(message)s'); "
    )
    record = (
        r"logging.getLogger().handle(logging.makeLogRecord({'msg': 'x', 'levelno': 30, 'created': 0.0, 'msecs': 5.0}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", start + record], capture_output=True, text=True, check=True, env={"TZ": "Asia/Shanghai"}
    )
    assert ended.stderr == "1970-01-01 00:00:00.005Z x\n"


def test_a_warning_of_a_command_is_only_text_to_the_terminal():
    warn = r"import logging; from apps.log_records import redact_logs; redact_logs(); "
    warn += r"logging.getLogger('x').warning('a%s', '\x1b[2J\x9b\nb')"
    ended = subprocess.run([sys.executable, "-c", warn], capture_output=True, check=True)
    assert ended.stderr == rb"a\u001b[2J\u009b\nb" + b"\n"
