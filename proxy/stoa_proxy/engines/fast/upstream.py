"""The fast engine's end of a connection to an upstream, which its pool lends to both engines."""

from __future__ import annotations

from typing import Protocol

from stoa_proxy.engines.complete.upstream.connection import Reader, UpstreamConnection
from stoa_proxy.engines.complete.upstream.failures import READ_BYTES


class Receiver(Protocol):
    """Who gets what an upstream sends: one request at a time."""

    def receive(self, data: bytes) -> None:
        """Take bytes of the response."""
        ...

    def fail(self, error: Exception) -> None:
        """Learn that the bytes could not be taken, by an error of ours."""
        ...

    def lose(self, *, in_order: bool) -> None:
        """Learn that the connection has ended, `in_order` or by an error such as a reset."""
        ...

    def pause_body(self) -> None:
        """Send nothing more of the request: the upstream reads slowly."""
        ...

    def resume_body(self) -> None:
        """Go on sending."""
        ...


class FastUpstream(Reader):
    """Reads one connection; what comes while nobody has asked makes it unfit for requests."""

    def __init__(self, connection: UpstreamConnection) -> None:
        # Not the connection, which refers to this: together they would wait for a collection.
        self._protocol = connection.protocol
        self.transport = connection.transport
        self.write = connection.transport.write
        self.writelines = connection.transport.writelines
        self.receiver: Receiver | None = None
        if hasattr(self.transport, "max_size"):  # of asyncio's own loop, though undocumented
            self.transport.max_size = READ_BYTES

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        receiver = self.receiver
        if receiver is None:
            self.is_fit = False
            self.transport.abort()
            return
        try:
            receiver.receive(data)
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            receiver.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whose request was sent on it, and aiohttp's protocol, which counts it."""
        self.is_fit = False
        self._protocol.connection_lost(exc)
        receiver = self.receiver
        if receiver is not None:
            try:
                receiver.lose(in_order=exc is None)
            except Exception as error:  # noqa: BLE001 - see above
                receiver.fail(error)

    def pause_writing(self) -> None:
        """Stop the body of the request."""
        if self.receiver is not None:
            self.receiver.pause_body()

    def resume_writing(self) -> None:
        """Let the body of the request go on."""
        if self.receiver is not None:
            self.receiver.resume_body()


def fast_end(connection: UpstreamConnection) -> FastUpstream:
    """Return the fast engine's end of a connection, which reads it from now on."""
    reader = connection.reader
    if isinstance(reader, FastUpstream):
        return reader
    made = FastUpstream(connection)
    connection.read_by(made)
    return made
