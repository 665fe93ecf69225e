"""Log records without personal data, each on one line, whoever makes them and whichever handler writes them."""

import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from apps.redaction import redact

_log = logging.getLogger(__name__)

# controls, ends of lines of every kind, and what turns the direction of writing
_NOT_PRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_MAX_CHARS = 50_000  # of a message; longer ones cost more to read through than they tell
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def start_logging(*, layout: str) -> None:
    """Write what is logged to standard error, redacted, with times in UTC, warnings of libraries too.

    Args:
        layout: of a line, as `logging.Formatter` takes it.
    """
    redact_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_UtcFormatter(layout))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(capture=True)


def redact_logs() -> None:
    """Redact every record of this process from now on; called again, it changes nothing.

    At the making of records rather than in a filter: filters belong to single loggers and handlers, and libraries bring
    handlers of their own.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _RedactedRecords):
        logging.setLogRecordFactory(_RedactedRecords(make))


def log_uncaught_errors() -> None:
    """Log what would end the program, or one of its threads, with a traceback on standard error."""

    def tell(kind: type[BaseException], error: BaseException | None, origin: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error or kind(), origin)
            return
        _log.critical("an error that nobody handles", exc_info=(kind, error or kind(), origin))

    sys.excepthook = tell
    threading.excepthook = lambda ended: (
        None if ended.exc_type is SystemExit else tell(ended.exc_type, ended.exc_value, ended.exc_traceback)
    )


class _UtcFormatter(logging.Formatter):
    """Times in the zone of alerts, decisions and keys, which is named."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"


class _RedactedRecords:
    """Makes log records as another factory does, and takes personal data and ends of lines out of them."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Return a record."""
        record = self._make(*args, **kwargs)
        _redact_message(record)
        if record.exc_info:
            record.exc_text = _describe_error(record.exc_info)
            record.exc_info = None  # it holds the texts, and handlers may send it elsewhere
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record


def _redact_message(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception as error:  # `logging` itself would tell the arguments; a log call must never raise
        record.msg, record.args = f"{record.msg!r} does not fit its arguments: {type(error).__name__}", ()
        message = record.getMessage()
    left_out = len(message) - _MAX_CHARS
    shown = f"{message[:_MAX_CHARS]} ({left_out} characters more)" if left_out > 0 else message
    redacted = _on_one_line(redact(shown))
    if redacted == message:
        return
    args = record.args
    if isinstance(args, tuple):  # some formatters read single arguments
        args = tuple(_on_one_line(redact(value)) if isinstance(value, str) else value for value in args)
        if args and str(record.msg) % args == redacted:
            record.args = args
            return
    record.msg, record.args = redacted, ()


def _on_one_line(text: str) -> str:
    r"""Return a text with its ends of lines and controls written out, as JSON would: `\n`, `\u001b`."""
    return _NOT_PRINTED.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def _describe_error(info: _ExceptionInfo) -> str:
    kind, error, origin = info
    if kind is None or error is None:
        return "no error"
    return "\n".join(_traceback_lines(traceback.TracebackException(kind, error, origin, compact=True)))


def _traceback_lines(found: traceback.TracebackException) -> Iterator[str]:
    """Yield the lines of a traceback; an error's own text is one of them, however many it has."""
    if found.__cause__ is not None:
        yield from [*_traceback_lines(found.__cause__), "The error above was the cause of:"]
    elif found.__context__ is not None and not found.__suppress_context__:
        yield from [*_traceback_lines(found.__context__), "While the error above was handled, there came:"]
    yield "Traceback (most recent call last):"
    for frame in found.stack.format():
        yield from frame.rstrip("\n").splitlines()
    first, *others = found.format_exception_only()
    yield _on_one_line(redact(first.rstrip("\n")))
    for text in others:  # notes
        yield "  " + _on_one_line(redact(text.rstrip("\n")))
    for part in found.exceptions or ():
        yield from (f"  {line}" for line in _traceback_lines(part))
