"""Errors of the data plane, one tree.

::

    ProxyError
    ├── ConfigInvalid     a setting that cannot be used; the message names the variable
    ├── ListenFailed      the address cannot be bound; the message names it
    ├── FramingRefused    bytes whose requests two readers could see differently
    ├── RequestRefused    a request that is not forwarded; carries the HTTP status
    ├── CheckRefused      what a gateway asks a sidecar without saying all of it
    ├── BackendInvalid    a backend URL that is not accepted
    ├── BackendRefused    the same in the admin API, with the field that has it
    ├── BodyRefused       an admin body; carries the text of STOA's gateway for it
    ├── ObjectRefused     an admin object that is well formed but wrong; carries all reasons
    ├── UpstreamFailed    no response of an upstream; carries why
    ├── ControlPlaneFailed  a call to the control plane without a usable response
    ├── ServiceFailed     no response of a service that a policy needs
    ├── WorkerGone        the other process of a gateway has ended
    └── TableUnusable     a saved table that is not restored
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final


class ProxyError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigInvalid(ProxyError):
    """A setting that cannot be used."""


class ListenFailed(ProxyError):
    """The listener could not be bound."""


class FramingRefused(ProxyError):
    """Requests whose boundaries are in doubt; `before` are the bytes before the doubt."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.before = b""


class RequestRefused(ProxyError):
    """A request that the data plane refuses: HTTP `status` and a sentence for the client."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail


class CheckRefused(ProxyError):
    """A check that does not say what it is about: the header `name` has to come as `how` says."""

    def __init__(self, name: str, how: str) -> None:
        super().__init__(f"a check must carry {name} {how}")
        self.name = name


class BackendInvalid(ProxyError):
    """A backend URL that is not accepted; `private` when its address is the reason."""

    def __init__(self, detail: str, *, private: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.private = private


class BackendRefused(ProxyError):
    """A route whose `backend_url` or `fallback_url` is refused; its response has its own shape."""

    def __init__(self, field: str, detail: str, *, private: bool) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail
        self.private = private

    @property
    def summary(self) -> str:
        """The refusal in the words of STOA's gateway."""
        what = "targets a private/internal IP range" if self.private else "is not allowed"
        return f"{self.field} {what}"


class BodyRefused(ProxyError):
    """An admin body that is not JSON, not of the type, or too large: HTTP `status` and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ObjectRefused(ProxyError):
    """A well formed admin object that cannot be accepted: HTTP `status` and every reason.

    `objects` are kinds and ids of those of a batch that are refused.
    """

    def __init__(
        self, errors: list[str], status: int = 400, objects: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors
        self.status = status
        self.objects = objects


class UpstreamFailed(ProxyError):
    """No response of an upstream.

    `reason` is one of:

    unreachable            not connected
    tls-failed             no handshake; `detail` says why
    credential-unresolved  not asked: what the gateway shows there is not here
    no-answer              connected, then nothing
    bad-answer             one that cannot be read; `detail` says what is wrong with it
    denied                 not asked: the address rules refuse it
    timeout                not in time
    busy                   not asked: too many requests to it are in flight

    `was_reused` says that the connection had served before, so that the upstream may just have
    closed it for being idle.
    """

    def __init__(self, reason: str, detail: str = "", *, was_reused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.was_reused = was_reused

    @property
    def is_unsent(self) -> bool:
        """Whether nobody read anything of the request."""
        return self.reason in UNSENT


UNSENT: Final = frozenset({"unreachable", "tls-failed", "credential-unresolved"})
"""Reasons of UpstreamFailed by which a request never went out."""

NO_RESPONSE: Final = frozenset({"unreachable", "tls-failed", "no-answer", "bad-answer"})
"""Reasons of UpstreamFailed by which an upstream was called and did not respond, however long."""


class CertificateUnusable(ProxyError):
    """A certificate or key that cannot be used; the message names the file and the reason."""


class ProxyHeaderInvalid(ProxyError):
    """A connection that does not begin as the PROXY protocol has it."""


class ControlPlaneFailed(ProxyError):
    """A call to the control plane without a usable response; the message says why."""


class TableUnusable(ProxyError):
    """A file that is no whole table; one that is not ours (`is_ours`) is never overwritten."""

    def __init__(self, reason: str, *, is_ours: bool) -> None:
        super().__init__(reason)
        self.is_ours = is_ours


class ServiceFailed(ProxyError):
    """A service that a policy needs (`core.policy.Services`) gave no usable response."""


class WorkerGone(ProxyError):
    """The other end of a channel between processes of one gateway is not there any more."""
