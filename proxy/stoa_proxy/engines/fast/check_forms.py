"""Checks as they were read, their forms, and what lets others like them pass."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from stoa_proxy.core.api import Api
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.limit_headers import limit_headers, limit_lines
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.model import Route
from stoa_proxy.core.trie import Match
from stoa_proxy.engines.fast.check_shapes import (
    MOST_SHAPES,
    Shape,
)
from stoa_proxy.engines.fast.quick_heads import (
    Head,
    Heads,
)
from stoa_proxy.engines.fast.quick_routes import Pass, header_names
from stoa_proxy.engines.fast.response_head import DateHeader
from stoa_proxy.http.heads import Headers, RequestHead, sanitize
from stoa_proxy.pipeline.verdicts import (
    Encode,
    encode_json,
    identity_names,
)

if TYPE_CHECKING:
    pass


# Stands for what is left of a limit, which has far less.
_LEFT: Final = 10**40 + 4711


class CheckForm:
    """What heads of one shape say of the request that a check is about.

    `first` are headers that its head begins with, `names` (lower case) those of the check that it
    has behind them, as `pipeline` keeps them. `method` is set where the headers name it. `claimed`
    are the headers that say who is calling.
    """

    __slots__ = ("claimed", "encode", "first", "host", "method", "names", "scheme")

    def __init__(
        self,
        about: RequestHead,
        host: str,
        scheme: str,
        first: Headers,
        encode: Encode,
        *,
        is_named: bool,
    ) -> None:
        cleaned = sanitize(about)
        self.scheme, self.host, self.first = scheme, host, first
        self.names = frozenset(cleaned.keys[len(first) :])
        self.method = about.method if is_named else ""
        self.claimed = identity_names(about.keys)
        self.encode = encode


class CheckPlan:
    """A route whose checks can be decided the shortest way; `names` as of a `RoutePlan`.

    `is_by_client` is whether the client's address has decided about a check.
    """

    __slots__ = ("_groups", "is_by_client", "names", "route")

    def __init__(self, route: Route, api: Api) -> None:
        self.route = route
        self.is_by_client = False
        self._groups: dict[Shape[CheckForm], tuple[int, ...]] = {}
        is_usual = not api.needs_services and not api.upstream_request_filters
        self.names = header_names((*api.request_filters, *api.loggers)) if is_usual else None

    def groups_in(self, shape: Shape[CheckForm], names: frozenset[str]) -> tuple[int, ...]:
        """Return the groups of the headers of these `names` in matches of a shape."""
        groups = self._groups.get(shape)
        if groups is None:
            if len(self._groups) >= MOST_SHAPES:
                self._groups.clear()  # shapes come and go, and are as many as clients make
            groups = self._groups[shape] = shape.groups_of(names)
        return groups


class CheckPass(Pass):
    """What holds for checks like one that let a request pass: `sent` is the response to it.

    Without limits and date.
    """

    __slots__ = ("sent",)

    def __init__(self, context: RequestContext, sent: bytes) -> None:
        super().__init__(context, context.api.request_filters)
        self.sent = sent

    def encode(self, limit: LimitResult | None, date: DateHeader) -> bytes:
        """Return the response to a check that is counted with this result."""
        lines = () if limit is None else limit_lines(limit)
        return b"".join((self.sent, *lines, b"Date: ", date.encoded(), b"\r\n\r\n"))


class DocumentPass(CheckPass):
    """The same for a check that is a document, which the response to it is, too.

    `said` is what it says before the headers for the client, which come last.
    """

    __slots__ = ("said",)

    def __init__(self, context: RequestContext, sent: bytes, said: bytes) -> None:
        super().__init__(context, sent)
        self.said = said

    def encode(self, limit: LimitResult | None, date: DateHeader) -> bytes:
        """Return the response to a check that is counted with this result."""
        content = b"%b%b}" % (self.said, b"{}" if limit is None else limit_notes(limit))
        framing = (self.sent, len(content), date.encoded(), content)
        return b"%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % framing


PassKey = tuple["CheckForm", "CheckPlan", bytes | tuple[bytes, ...]]
"""The form, where it leads, and the headers that policies read there."""


class AnyHead(Protocol):
    """The header lines of a check."""

    def headers(self, names: frozenset[str]) -> tuple[Headers, tuple[str, ...]]:
        """Return the headers of these names, and the names, both in their order."""

    def raw_lines(self, names: frozenset[str]) -> tuple[bytes, ...]:
        """Return the lines of headers of these names as they were sent."""


class KnownCheck:
    """A check as it was read: what it is about, and where that leads.

    `asked_by` is the method of the check; `query` is None where the target has none. `key` is by
    what others like it are known, None where nothing says that they are; `passed` let it pass.
    `clients` are the client's address, or the lines that name it.
    """

    __slots__ = (
        "_data", "_head", "_heads", "asked_by", "clients", "form", "key", "match", "method",
        "passed", "path", "plan", "query",
    )  # fmt: skip

    match: Match
    plan: CheckPlan

    def __init__(
        self,
        form: CheckForm,
        line: tuple[bytes, bytes, bytes | None],
        head: AnyHead | None,
        heads: Heads[CheckForm] | None,
        data: bytes,
        clients: tuple[bytes, ...] | str,
    ) -> None:
        asked_by, path, query = line
        self.form = form
        self.asked_by = asked_by.decode()
        self.method = form.method or self.asked_by
        self.path = path.decode()
        self.query = None if query is None else query.decode()
        self.key: PassKey | None = None
        self.passed: CheckPass | None = None
        self.clients = clients
        self._head, self._heads, self._data = head, heads, data

    @property
    def head(self) -> AnyHead:
        """Its header lines, which nothing but unusual routes and policies asks for."""
        if self._head is None:
            assert self._heads is not None, "it has one or the other"
            self._head = read_head(self._heads, self._data)
            assert self._head is not None, "its shape is one that was read"
        return self._head

    # What routes that ask for headers see (`core.header_routes.Asked`).

    @property
    def headers(self) -> Headers:
        """Headers of the request that it is about."""
        return self.head.headers(self.form.names)[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """Their names in lower case."""
        return self.head.headers(self.form.names)[1]


def read_head(heads: Heads[CheckForm], data: bytes) -> Head[CheckForm] | None:
    """Return the header lines of a whole head; None for an unusual one."""
    return heads.find(data[data.index(b"\r\n") + 2 :], data)


def limit_notes(result: LimitResult) -> bytes:
    """Return `limit_headers` as a JSON object, of which most is written once."""
    _, limit, left, seconds, window, name = result
    return _notes(name, limit, window, int(-(-seconds // 1))) % (left, left)  # rounded up


@lru_cache(maxsize=4096)
def _notes(name: str, limit: int, window: float, reset: int) -> bytes:
    result = LimitResult(True, limit, _LEFT, reset, window, name)
    text = encode_json(dict(limit_headers(result))).replace("%", "%%")
    return text.replace(str(_LEFT), "%d").encode()
