"""`headers`: sets, adds and removes headers of requests to the backend and of responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_proxy.core.policy import Phase, Policy, PolicyContext, PolicyType
from stoa_proxy.core.policy_states import OutcomeCounts
from stoa_proxy.http.heads import Header, Headers, without
from stoa_proxy.policies.parsing import (
    check_header_bounds,
    check_keys,
    read_header_map,
    read_header_name,
    read_strings,
)


class EditedHeads(OutcomeCounts):
    """Heads that `headers` had something to do with, by their direction."""

    metric = "stoa_headers_edited_total"
    text = "Heads that a policy `headers` edited, by their direction."
    label = "side"
    outcomes = ("request", "response")


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Changes of one direction: `removed` (lower case names) first, then `added` at the end."""

    removed: frozenset[str] = frozenset()
    added: Headers = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.removed and not self.added

    def apply(self, headers: list[Header]) -> None:
        """Edit `headers` in place."""
        if self.removed:
            headers[:] = without(headers, self.removed)
        headers += self.added


@dataclass(frozen=True, slots=True)
class HeaderEdits(Policy):
    """Edits the headers of requests to the upstream and of responses to the client."""

    request: HeaderChanges = HeaderChanges()
    response: HeaderChanges = HeaderChanges()

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Edit what the upstream gets."""
        if not self.request.is_empty:
            self.request.apply(headers)
            context.states.of(EditedHeads).counts["request"] += 1

    def response_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Edit what the client gets, responses of the gateway itself included."""
        if not self.response.is_empty:
            self.response.apply(headers)
            context.states.of(EditedHeads).counts["response"] += 1


def parse_headers(policy_id: str, config: Mapping[str, object]) -> HeaderEdits:
    """Return a HeaderEdits for `{request, response}`, each `{set, add, remove}`.

    Raises ValueError.
    """
    check_keys(config, ("request", "response"))
    if not config:
        raise ValueError("config must have 'request' or 'response'")
    return HeaderEdits(_read_changes(config, "request"), _read_changes(config, "response"))


def _read_changes(config: Mapping[str, object], side: str) -> HeaderChanges:
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
    check_header_bounds((*replaced, *added), removed, f"config.{side}")
    # `set` is a removal and an addition, so that a name is never there twice afterwards.
    gone = frozenset(name.lower() for name in (*removed, *(name for name, _ in replaced)))
    return HeaderChanges(gone, (*replaced, *added))


def _is_public(config: Mapping[str, object]) -> bool:
    # What callers receive is no secret; what backends receive may be a credential.
    edits = config.get("request")
    return not isinstance(edits, Mapping) or edits.keys() <= {"remove"}


POLICY = PolicyType(
    "headers",
    Phase.TRANSFORMATION,
    parse_headers,
    '`{"request"?: edits, "response"?: edits}`, one of them at least; edits are '
    '`{"set"?: {name: value}, "add"?: {name: value}, "remove"?: [name]}`, values printable ASCII; '
    "hop-by-hop headers, Host, Content-Length, Expect, Via, `Sec-WebSocket-*` and claims of "
    "identity are refused",
    is_public=_is_public,
    states=(EditedHeads,),
)
