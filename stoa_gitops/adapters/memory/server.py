"""The memory gateway itself: objects by id, two ways to write them, and planned faults."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayUnauthorized,
    GatewayUnreachable,
)
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key


class Fault(Enum):
    """What can go wrong with one call."""

    TIMEOUT = "timeout"
    REFUSED_CONNECTION = "refused connection"
    UNAUTHORIZED = "401"
    CONFLICT = "409"
    BUSY = "429"
    SERVER_ERROR = "500"
    MALFORMED = "malformed"
    HALF_WRITTEN = "half-written"


_ERRORS: Final[Mapping[Fault, Callable[[], GatewayError]]] = {
    Fault.TIMEOUT: partial(GatewayUnreachable, "no response in time"),
    Fault.REFUSED_CONNECTION: partial(GatewayUnreachable, "no connection (refused)"),
    Fault.UNAUTHORIZED: partial(GatewayUnauthorized, "the gateway refused our credentials (401)"),
    Fault.CONFLICT: partial(RequestRefused, "the gateway refused it (409: conflict)", 409),
    Fault.BUSY: partial(GatewayBusy, "the gateway is busy (429)", retry_after=7.0),
    Fault.SERVER_ERROR: partial(GatewayError, "the gateway failed (500)"),
    Fault.MALFORMED: partial(GatewayMalformed, "a response that is no admin API's: check baseUrl"),
}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object on the gateway; `mark` is the owner that wrote it, None for a foreign one."""

    key: Key
    spec: Spec
    mark: str | None = None


@dataclass(slots=True)
class _PlannedFault:
    fault: Fault
    pattern: str
    skip: int
    left: int


class DocumentRefused(RequestRefused):
    """The gateway refused a whole document for one object, whose id is `object_id`."""

    def __init__(self, object_id: str) -> None:
        super().__init__(f"the document was refused for {object_id} (400: invalid)", 400)
        self.object_id = object_id


class MemoryGateway:
    """A gateway in memory.

    objects  what it holds, by id
    refused  ids that it never accepts
    calls    number of calls by operation: `health`, `list`, `put`, `delete`, and `read` and `write`
             of the whole document
    """

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.refused: set[str] = set()
        self.calls: dict[str, int] = {}
        self._faults: list[_PlannedFault] = []

    def fail(self, fault: Fault, operation: str = "*", *, nth: int = 1, times: int = 1) -> None:
        """Make the nth next call of an operation (a glob) fail, and the `times - 1` after it."""
        self._faults.append(_PlannedFault(fault, operation, nth - 1, times))

    def heal(self) -> None:
        """Drop all planned faults."""
        self._faults.clear()

    def add_foreign(self, key: Key, spec: Spec, gateway_id: str = "") -> str:
        """Store an object without our mark; return its id."""
        gateway_id = gateway_id or f"foreign:{key}"
        self.objects[gateway_id] = StoredObject(key, spec)
        return gateway_id

    def health(self) -> str:
        """Return the version."""
        self._count_call("health")
        return "1.0"

    def list_kind(self, kind: str) -> dict[str, StoredObject]:
        """Return the objects of one kind."""
        self._count_call("list")
        return {i: stored for i, stored in self.objects.items() if stored.key.kind == kind}

    def put(self, gateway_id: str, stored: StoredObject) -> None:
        """Create or replace one object."""
        fault = self._count_call("put")
        if gateway_id in self.refused:
            raise RequestRefused(f"the gateway refused {gateway_id} (400: invalid)", 400)
        self.objects[gateway_id] = _half_of(stored) if fault is Fault.HALF_WRITTEN else stored

    def delete(self, gateway_id: str) -> None:
        """Remove one object; one that is gone is removed already."""
        if self._count_call("delete") is not Fault.HALF_WRITTEN:
            self.objects.pop(gateway_id, None)

    def read_document(self) -> dict[str, StoredObject]:
        """Return the whole document."""
        self._count_call("read")
        return dict(self.objects)

    def write_document(self, document: Mapping[str, StoredObject]) -> None:
        """Replace everything; raises DocumentRefused for the first object it does not accept."""
        fault = self._count_call("write")
        for gateway_id in document:
            if gateway_id in self.refused:
                raise DocumentRefused(gateway_id)
        replaced = {
            i: _half_of(stored)
            if fault is Fault.HALF_WRITTEN and self.objects.get(i) != stored
            else stored
            for i, stored in document.items()
        }
        self.objects = replaced

    def _count_call(self, operation: str) -> Fault | None:
        """Count a call; raise the error of a planned fault that is due, or return HALF_WRITTEN."""
        self.calls[operation] = self.calls.get(operation, 0) + 1
        for planned in self._faults:
            if planned.left <= 0 or not fnmatch.fnmatch(operation, planned.pattern):
                continue
            if planned.skip > 0:
                planned.skip -= 1
                continue
            planned.left -= 1
            if planned.fault is Fault.HALF_WRITTEN:
                return planned.fault
            error = _ERRORS[planned.fault]()
            raise error
        return None


# By name, for the life of the process: two adapters of one name meet on one gateway.
_gateways: Final[dict[str, MemoryGateway]] = {}


def gateway_named(name: str) -> MemoryGateway:
    """Return the gateway of that name in this process, created at the first call."""
    return _gateways.setdefault(name, MemoryGateway())


def drop_gateway(name: str) -> None:
    """Remove a gateway of this process, with everything it holds."""
    _gateways.pop(name, None)


def _half_of(stored: StoredObject) -> StoredObject:
    """Return half of the fields, as of a gateway that fails in the middle of a write."""
    tree = stored.spec.value
    # Sorted, so that a test always loses the same fields.
    kept = sorted(tree)[: len(tree) // 2]
    return StoredObject(stored.key, Spec.of({name: tree[name] for name in kept}), stored.mark)
