"""`headers`: headers set, added and removed on the way to the backend and on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_proxy.core.exchange import Policy, RequestContext
from stoa_proxy.http.heads import Header, Headers, without
from stoa_proxy.policies.parsing import check_keys, read_header_map, read_header_name, read_strings


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits of one direction, in this order: remove, set, add. `gone` are lower case names."""

    gone: frozenset[str] = frozenset()
    new: Headers = ()

    def apply(self, headers: list[Header]) -> None:
        """Edit `headers` in place."""
        if self.gone:
            headers[:] = without(headers, self.gone)
        headers += self.new


@dataclass(frozen=True, slots=True)
class HeaderEdits(Policy):
    """What changes in the heads of requests and answers."""

    request: Edits = Edits()
    response: Edits = Edits()

    def upstream_request_filter(self, context: RequestContext, headers: list[Header]) -> None:
        """Edit what the upstream gets."""
        self.request.apply(headers)

    def response_filter(self, context: RequestContext, headers: list[Header]) -> None:
        """Edit what the caller gets, our own answers included."""
        self.response.apply(headers)


def parse_headers(policy_id: str, config: Mapping[str, object]) -> HeaderEdits:
    """A HeaderEdits from `{request, response}` of `{set, add, remove}` each. Raises ValueError."""
    check_keys(config, ("request", "response"))
    if not config:
        raise ValueError("config must have 'request' or 'response'")
    return HeaderEdits(_read_edits(config, "request"), _read_edits(config, "response"))


def _read_edits(config: Mapping[str, object], side: str) -> Edits:
    value = config.get(side, {})
    if not isinstance(value, dict):
        raise ValueError(f"config.{side} must be an object")
    check_keys(value, ("set", "add", "remove"), f"config.{side}")
    where = f"config.{side}."
    removed = [
        read_header_name(name, f"{where}remove") for name in read_strings(value, "remove", where)
    ]
    replaced = read_header_map(value, "set", where)
    added = read_header_map(value, "add", where)
    gone = frozenset(name.lower() for name in (*removed, *(name for name, _ in replaced)))
    return Edits(gone, (*replaced, *added))
