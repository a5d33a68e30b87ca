"""Log lines of workers, which their parent writes: one process writes whole lines, in one form."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any

from stoa_proxy.workers.channel import Channel, Message


class RelayHandler(logging.Handler):
    """Hands records to the parent from any thread; writes to stderr what cannot be handed over."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._channel = channel
        self._loop = loop
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            trace = None
            if record.exc_info:
                trace = logging.Formatter().formatException(record.exc_info)
            values = {
                "name": record.name,
                "level": record.levelno,
                "text": record.getMessage(),
                "trace": trace,
            }
            if self._channel.is_gone or self._loop.is_closed():
                sys.stderr.write(f"{record.levelname} {record.name} {values['text']}\n")
                return
            message = Message("log", values)
            if threading.get_ident() == self._thread:
                self._channel.send(message)
            else:
                self._loop.call_soon_threadsafe(self._channel.send, message)
        except Exception:  # noqa: BLE001 - as all handlers: a log line ends nobody's work
            self.handleError(record)


def write_record(values: Mapping[str, Any], worker: int) -> None:
    """Log a record of a worker as one of this process."""
    log = logging.getLogger(values["name"])
    if not log.isEnabledFor(values["level"]):
        return
    record = log.makeRecord(
        log.name, values["level"], "", 0, "%s worker=%d", (values["text"], worker), None
    )
    record.exc_text = values["trace"]
    log.handle(record)
