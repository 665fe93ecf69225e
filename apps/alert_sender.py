"""Sender of alerts: a thread that takes messages from the outbox and tells the sinks."""

import logging
import threading
from collections.abc import Mapping

from apps.alert_outbox import AlertOutbox
from apps.alert_sinks import AlertSink
from apps.errors import DeliveryError
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)

_LOOK_S = 20.0  # between two looks at the outbox, which other programs may have written to
_AFTER_ERROR_S = 5.0


class AlertSender:
    """Tells sinks of alerts until it is stopped; what was taken from the outbox is noted before and after.

    Args:
        outbox: of the monitor.
        sinks: by the names that the outbox has for them.
    """

    def __init__(self, outbox: AlertOutbox, sinks: Mapping[str, AlertSink]) -> None:
        self._outbox = outbox
        self._sinks = dict(sinks)
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="alert-sender", daemon=True)

    def start(self) -> None:
        """Begin with what waits from before."""
        if self._sinks:
            self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    def stop(self, *, timeout_s: float = 12.0) -> None:
        """End after the message that is being sent."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._stopping:
            try:
                self.send_due()
                wait_s = min(_LOOK_S, self._outbox.next_wait_s(tuple(self._sinks)))
            except TuneChainError as error:  # a full disk, say: nothing is lost, and it is tried again
                _log.error("alerts cannot be sent now: %s", error)
                wait_s = _AFTER_ERROR_S
            except Exception:
                if self._stopping:  # its file was closed
                    return
                _log.exception("alerts cannot be sent now")
                wait_s = _AFTER_ERROR_S
            self._wake.wait(wait_s)
            self._wake.clear()

    def send_due(self) -> int:
        """Send all messages that are due; return how many were sent."""
        self._outbox.make_digests()
        count, names = 0, tuple(self._sinks)
        while not self._stopping and (message := self._outbox.take(names)) is not None:
            try:
                self._sinks[message.sink].send(message)
            except DeliveryError as error:
                _log.warning("%s could not be told of an alert: %s", message.sink, error)
                self._outbox.note_failed(message, str(error))
            except Exception as error:  # else this one message would stand before all others for ever
                _log.exception("%s could not be told of an alert", message.sink)
                self._outbox.note_failed(message, type(error).__name__)
            else:
                self._outbox.note_sent(message)
                count += 1
        return count
