"""The gateway itself: objects by id, two ways to write them, and faults on demand."""

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
    Fault.TIMEOUT: partial(GatewayUnreachable, "no answer in time"),
    Fault.REFUSED_CONNECTION: partial(GatewayUnreachable, "no connection (refused)"),
    Fault.UNAUTHORIZED: partial(GatewayUnauthorized, "the gateway refused our credentials (401)"),
    Fault.CONFLICT: partial(RequestRefused, "the gateway refused it (409: conflict)", 409),
    Fault.BUSY: partial(GatewayBusy, "the gateway asks for patience (429)", retry_after=7.0),
    Fault.SERVER_ERROR: partial(GatewayError, "the gateway failed (500)"),
    Fault.MALFORMED: partial(GatewayMalformed, "an answer that is no admin API's: check baseUrl"),
}


@dataclass(frozen=True, slots=True)
class Held:
    """One object on the gateway; `mark` is the owner who put it there, None for a foreign one."""

    key: Key
    spec: Spec
    mark: str | None = None


@dataclass(slots=True)
class _Planned:
    fault: Fault
    pattern: str
    skip: int
    left: int


class DocumentRefused(RequestRefused):
    """A whole document was refused for one object; `culprit` is its id."""

    def __init__(self, culprit: str) -> None:
        super().__init__(f"the document was refused for {culprit} (400: invalid)", 400)
        self.culprit = culprit


class MemoryGateway:
    """Objects by their id. `refused` holds ids that it never accepts; `calls` counts by operation.

    Operations are `health`, `list`, `put`, `delete`, `read` and `write` (the whole document).
    """

    def __init__(self) -> None:
        self.objects: dict[str, Held] = {}
        self.refused: set[str] = set()
        self.calls: dict[str, int] = {}
        self._faults: list[_Planned] = []

    def fail(self, fault: Fault, operation: str = "*", *, nth: int = 1, times: int = 1) -> None:
        """Have the nth next call of an operation (a glob) go wrong, and `times - 1` after it."""
        self._faults.append(_Planned(fault, operation, nth - 1, times))

    def heal(self) -> None:
        """Forget all planned faults."""
        self._faults.clear()

    def add_foreign(self, key: Key, spec: Spec, gateway_id: str = "") -> str:
        """Put an object there that nobody of ours made; returns its id."""
        gateway_id = gateway_id or f"foreign:{key}"
        self.objects[gateway_id] = Held(key, spec)
        return gateway_id

    def health(self) -> str:
        """Return the version."""
        self._pass("health")
        return "1.0"

    def listed(self, kind: str) -> dict[str, Held]:
        """Return the objects of one kind."""
        self._pass("list")
        return {i: held for i, held in self.objects.items() if held.key.kind == kind}

    def put(self, gateway_id: str, held: Held) -> None:
        """Create or replace one object."""
        fault = self._pass("put")
        if gateway_id in self.refused:
            raise RequestRefused(f"the gateway refused {gateway_id} (400: invalid)", 400)
        self.objects[gateway_id] = _half(held) if fault is Fault.HALF_WRITTEN else held

    def delete(self, gateway_id: str) -> None:
        """Remove one object; one that is gone is removed already."""
        if self._pass("delete") is not Fault.HALF_WRITTEN:
            self.objects.pop(gateway_id, None)

    def read(self) -> dict[str, Held]:
        """Return the whole document."""
        self._pass("read")
        return dict(self.objects)

    def write(self, document: Mapping[str, Held]) -> None:
        """Replace everything at once; raises DocumentRefused for the first object it does not accept."""
        fault = self._pass("write")
        for gateway_id in document:
            if gateway_id in self.refused:
                raise DocumentRefused(gateway_id)
        replaced = {
            i: _half(held) if fault is Fault.HALF_WRITTEN and self.objects.get(i) != held else held
            for i, held in document.items()
        }
        self.objects = replaced

    def _pass(self, operation: str) -> Fault | None:
        """Count a call; raises the error of a fault that is due, returns HALF_WRITTEN."""
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


_named: Final[dict[str, MemoryGateway]] = {}


def gateway_named(name: str) -> MemoryGateway:
    """Return the gateway of that name in this process; it comes to be when it is first asked for."""
    return _named.setdefault(name, MemoryGateway())


def forget(name: str) -> None:
    """Drop a gateway of this process, with all it holds."""
    _named.pop(name, None)


def _half(held: Held) -> Held:
    """Keep half of the fields, as a gateway that fails in the middle of a write."""
    tree = held.spec.value
    kept = sorted(tree)[: len(tree) // 2]
    return Held(held.key, Spec.of({name: tree[name] for name in kept}), held.mark)
