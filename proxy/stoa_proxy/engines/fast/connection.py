"""Client connections of the fast engine: one request after the other, in their order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.complete.server import TOO_MANY, read_client
from stoa_proxy.engines.fast.chunks import ChunkDecoder, ChunksRefused
from stoa_proxy.engines.fast.client_link import READ_BYTES, ClientLink
from stoa_proxy.engines.fast.exchange import Exchange
from stoa_proxy.engines.fast.quick_checks import QuickCheck
from stoa_proxy.engines.fast.quick_exchange import QuickExchange
from stoa_proxy.engines.fast.request_head import ParsedHead, parse_head
from stoa_proxy.engines.fast.response_head import encode_own
from stoa_proxy.engines.fast.upload import Upload
from stoa_proxy.errors import FramingRefused
from stoa_proxy.http.framing import Framing
from stoa_proxy.http.heads import RequestHead

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.arrival import Arrival
    from stoa_proxy.engines.fast.engine import FastEngine

_log = logging.getLogger("stoa_proxy.engine")
_MALFORMED = "The request's body is malformed."
# What may come of later requests while one is at work.
_MAX_PENDING = 64 * 1024
# How long the rest of a body that nobody reads is waited for.
LINGERING_SECONDS = 2.0


class FastConnection(ClientLink):
    """One client connection.

    A request that is not usual goes to aiohttp's protocol, with the connection and all its bytes
    from there on. `is_held` is whether the body of the current request has to wait, and `was_held`
    whether it had to lately; `has_served` is whether a request has begun on it.
    """

    __slots__ = (
        "_arrival", "_body", "_framing", "_is_deaf", "_pending", "_quick", "_working", "has_served",
        "is_held", "was_held",
    )  # fmt: skip

    _quick: QuickExchange | QuickCheck | None

    def __init__(self, engine: FastEngine, arrival: Arrival | None = None) -> None:
        super().__init__(engine)
        self._arrival = arrival
        if arrival is not None:
            self.announced = arrival.client_address  # without a system call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request, or go on as the connection has arrived."""
        self._framing = Framing()
        self._body: ChunkDecoder | None = None
        self._pending = b""
        self._working: asyncio.Handle | None = None
        self._is_deaf = self.has_served = self.is_held = self.was_held = False
        super().connection_made(transport)
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            self._quick = arrival.quick
            arrival.move_to(self)
            return
        self._quick = self.engine.make_quick(self)
        self.engine.shares.admit(self)

    def take_over(self, quick: QuickExchange, deadline: float, pending: bytes) -> None:
        """Go on with a usual request at work, behind which `pending` came."""
        self._exchange = quick
        self.has_served = True
        self._pending = pending
        self.timer.set(deadline)

    def let_go(self) -> None:
        """Take nothing more."""
        super().let_go()
        if self._working is not None:
            self._working.cancel()
        self._working = self._quick = None

    # What comes.

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if (
            self._exchange is None
            and self._quick is not None
            and not self._pending
            and self._framing.is_idle
            and not (self._is_deaf or self.is_closing or self.is_spare)
        ):
            try:
                if self._quick.begin(data):
                    return
            except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
                self.fail(error)
                return
        if self._is_deaf:
            return
        if self._pending or self._working is not None:
            self._pending += data
            self._update_reading()
            return
        if len(data) > READ_BYTES:
            data = self._keep_rest(data)
        self._work(data)

    def _keep_rest(self, data: bytes) -> bytes:
        """Return what is taken in this turn of the event loop, and keep what is behind it.

        Of uvloop's 256 KiB each part keeps all others waiting while it is taken apart. Content is
        not taken apart: it goes on as it came.
        """
        size = max(READ_BYTES, self._framing.content_ahead)
        self._pending = data[size:]
        return data[:size]

    def begin_quick(self, quick: QuickExchange, deadline: float, *, is_last: bool) -> None:
        """Let a usual request be at work until `deadline`; `is_last` as it asks for."""
        self._exchange = quick
        self.is_closing = is_last
        self.engine.shares.touch(self)
        self.has_served = True
        self.timer.set(deadline)

    def begin_check(self, check: QuickCheck) -> None:
        """Let a usual check be at work, which has no deadline: it is decided."""
        self._exchange = check
        self.engine.shares.touch(self)
        self.has_served = True

    def end_quick(self) -> None:
        """Go on behind a response that is sent."""
        if self.is_closing:
            self.end_exchange(is_last=True)
            return
        self._exchange = None
        self.timer.set(self.engine.loop.time() + self.engine.keepalive_seconds)
        if self._pending:
            self._work_soon()
            self._update_reading()

    def _work(self, data: bytes) -> None:
        try:
            rest = self._take(data)
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            self.fail(error)
            return
        if rest:
            self._pending = rest + self._pending
        self._work_soon()
        self._update_reading()

    def _work_soon(self) -> None:
        if self._pending and self._working is None and not self._is_lost and self._can_take():
            self._working = self.engine.loop.call_soon(self._work_on)

    def _work_on(self) -> None:
        self._working = None
        if self._pending and self._can_take() and not self._is_lost:
            self._work(self._keep_rest(self._pending))

    def _can_take(self) -> bool:
        """Whether bytes can be taken now: of a body that is wanted, or of the next head."""
        if self._framing.is_inside_body:
            return not self.is_held
        return self._exchange is None

    def _take(self, data: bytes) -> bytes:
        """Take bytes as far as it goes; return those behind the request that is at work."""
        while data and not self._is_deaf and not self.transport.is_closing():
            if self._framing.is_inside_body:
                data = self._take_body(data)
                continue
            if self._exchange is not None:
                return data
            data = self._take_head(data)
        return b""

    def _take_head(self, data: bytes) -> bytes:
        is_first = not self._framing.is_inside_head
        try:
            head, rest = self._framing.read_head(data)
        except FramingRefused as refused:
            _log.debug("a request is refused: %s", refused)
            response = problem(400, "Bad request", str(refused))
            self.transport.write(encode_own(response, "GET", self.engine.date, is_last=True))
            self.close_slowly()
            return b""
        if not head:
            if is_first and self.has_served:
                self.wait(self.engine.head_seconds)  # of the first the connection's beginning
            return b""
        parsed = parse_head(head)
        if parsed is None or self._wants_body(parsed):
            self._hand_over(head + rest)
            return b""
        self.engine.shares.touch(self)
        self._begin(parsed)
        return rest

    def _wants_body(self, parsed: ParsedHead) -> bool:
        """Whether a request is decided with its body, which aiohttp reads."""
        targets = self.engine.body_targets
        return bool(targets) and parsed.method == "POST" and parsed.path in targets

    def _begin(self, parsed: ParsedHead) -> None:
        engine, fields = self.engine, parsed.fields
        self.timer.clear()
        self.has_served = True
        self.is_closing = self.is_closing or fields.is_last
        has_body = self._framing.is_inside_body
        peer = self.client_address
        client, scheme = read_client(
            peer, engine.scheme, fields.headers, fields.keys, engine.proxies
        )
        head = RequestHead(
            parsed.method, parsed.target, fields.headers, fields.keys, client, scheme, has_body,
            peer=peer,
        )  # fmt: skip
        self._body = ChunkDecoder() if fields.is_chunked else None
        self.is_held = self.was_held = False
        exchange = Exchange(self, head, expects_continue=fields.expects_continue)
        self._exchange = exchange
        if self.is_spare:
            excess = engine.shares.refusal(self)
            if excess is not None:
                self.send_own(TOO_MANY[excess], head, exchange.upload, is_last=True)
                self.end_exchange(is_last=True)
                return
        exchange.begin()

    def _take_body(self, data: bytes) -> bytes:
        """Take a part of the current request's body; return what is behind its end."""
        exchange = self._exchange
        upload = None if exchange is None else exchange.upload
        try:
            coded, rest = self._framing.read_body(data)
            content = coded if self._body is None else self._body.feed(coded)
        except (FramingRefused, ChunksRefused) as refused:
            self._refuse_body(refused, upload)
            return b""
        self.engine.shares.touch(self)
        is_whole = not self._framing.is_inside_body
        if exchange is None:
            if is_whole:
                self._stop_lingering()
            return rest
        assert upload is not None, "a request whose body comes has one"
        if upload.refusal is None:
            upload.feed(content)
        if is_whole and upload.refusal is None:
            upload.end()
        exchange.body_came()
        self.update_body()
        return rest

    def _refuse_body(self, refused: Exception, upload: Upload | None) -> None:
        """Answer 400 where no response has begun, and close: the end of the body is in doubt."""
        self.is_closing = True
        self._pending = b""
        if upload is None or self._exchange is None:
            self.close_slowly()
            return
        detail = str(refused) if isinstance(refused, FramingRefused) else _MALFORMED
        upload.refusal = problem(400, "Bad request", detail)
        self._exchange.refuse_body()
        if self.is_ending:  # it is answered, and nothing of what follows can be trusted
            self.close_slowly()

    # What the exchange wants.

    def update_body(self) -> None:
        """Stop reading the current request's body, or go on, as its exchange wants."""
        exchange = self._exchange
        is_held = exchange is not None and not exchange.wants_body
        if is_held:
            self.was_held = True
        if is_held != self.is_held:
            self.is_held = is_held
            self._update_reading()
            self._work_soon()

    def send_own(
        self, response: Respond, head: RequestHead, upload: Upload | None, *, is_last: bool
    ) -> None:
        """Send a response of the gateway itself."""
        if "expect" in head.keys and upload is not None and not upload.is_whole:
            # Told the end before it sent the body, a client may send it or its next request
            # (RFC 9110, 10.1.1).
            is_last = True
        self.is_closing = is_last = is_last or self.is_closing
        self.transport.write(encode_own(response, head.method, self.engine.date, is_last=is_last))

    def end_exchange(self, *, is_last: bool) -> None:
        """Go on with the next request after a response that is sent, or close."""
        self._exchange = None
        self.is_closing = self.is_closing or is_last
        self.is_held = False
        if self._is_lost or self.transport.is_closing():
            return
        if self._framing.is_inside_body and self.is_closing:
            self.close_slowly()
            return
        if self._framing.is_inside_body:
            # Nothing but the rest of a body is waited for, so it makes room for others.
            self.is_ending = True
            self.wait(LINGERING_SECONDS)
        elif self.is_closing:
            self.transport.close()
            return
        else:
            self.wait(self.engine.keepalive_seconds)
        self._work_soon()
        self._update_reading()

    def fail(self, error: BaseException) -> None:
        """Answer 500 to an error of ours where no response has begun, and close."""
        _log.error("unexpected error in a request", exc_info=error)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            is_begun = exchange.has_begun
            exchange.abandon()
            if not is_begun and not self.transport.is_closing():
                response = problem(500, "Internal server error")
                self.transport.write(encode_own(response, "GET", self.engine.date, is_last=True))
                self.transport.close()
                return
        self.transport.abort()

    # Flow control.

    def _update_reading(self) -> None:
        if self._is_lost or self.transport.is_closing():
            return
        wants_no_more = self.is_held or len(self._pending) > _MAX_PENDING
        if wants_no_more == self.transport.is_reading():
            if wants_no_more:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _stop_lingering(self) -> None:
        self.is_ending = False
        if self.is_closing:
            self.transport.close()
        else:
            self.wait(self.engine.keepalive_seconds)

    def close_slowly(self) -> None:
        """End what is sent, and read and drop what still comes for a while.

        A connection closed with bytes that nobody read is reset, and the client may lose the
        response for it (RFC 9112, 9.6).
        """
        self._is_deaf = self.is_ending = True
        self._pending = b""
        self.wait(LINGERING_SECONDS)
        self._update_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _expire(self) -> None:
        """End what takes too long."""
        if self._exchange is None:
            self.transport.close()
            return
        try:
            self._exchange.time_out()
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            self.fail(error)

    def _hand_over(self, data: bytes) -> None:
        """Give the connection to aiohttp's protocol, with its bytes from `data` on."""
        if self.transport.is_closing():
            return
        rest, self._pending = self._pending, b""
        self.let_go()
        successor = self.engine.make_successor(self)
        if not self.transport.is_reading():
            self.transport.resume_reading()
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if self.is_write_paused:
            successor.pause_writing()
        successor.data_received(data + rest)
        if self.is_closing:
            successor.close()  # behind what came
