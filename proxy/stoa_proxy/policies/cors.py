"""`cors`: who may read responses from a browser; preflights are answered before authentication."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoa_proxy.core.policy import Phase, Policy, PolicyContext, PolicyType, always_public
from stoa_proxy.core.policy_states import OutcomeCounts, PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.http.heads import Header, RequestHead, without
from stoa_proxy.policies.parsing import check_keys, read_bool, read_strings, read_tokens

# RFC 6454, 6.2: an origin is scheme, host and port, or the word `null`.
_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?|null")
# What is reflected into a response must not be able to leave its header.
_TOKENS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]*")
_CORS_HEADERS = frozenset(
    {
        "access-control-allow-origin", "access-control-allow-credentials",
        "access-control-expose-headers", "access-control-allow-methods",
        "access-control-allow-headers", "access-control-max-age",
    }
)  # fmt: skip


class Preflights(OutcomeCounts):
    """Preflights that were answered, by whether their origin has leave."""

    metric = "stoa_cors_preflights_total"
    text = "Preflights that were answered, by whether their origin may read responses."
    label = "origin"
    outcomes = ("allowed", "other")


class CrossOriginRequests(OutcomeCounts):
    """Responses to pages of other origins, by whether their origin may read them."""

    metric = "stoa_cors_responses_total"
    text = "Responses to requests with an Origin, by whether it may read them."
    label = "origin"
    outcomes = ("allowed", "other")


@dataclass(frozen=True, slots=True)
class Cors(Policy):
    """Which origins may read responses; requests themselves pass.

    Empty `methods` allow those of the route, `headers` None allows those that are asked for.
    `max_age` is in seconds.
    """

    origins: frozenset[str]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int | None = None

    def response_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Replace the upstream's CORS headers by the policy's."""
        headers[:] = without(headers, _CORS_HEADERS)
        headers += self._origin_headers(context.head)
        origin = context.head.value("origin")
        if origin is None:
            return
        if self.expose:
            headers.append(("Access-Control-Expose-Headers", ", ".join(self.expose)))
        context.states.of(CrossOriginRequests).counts[self._outcome(origin)] += 1

    def preflight(self, head: RequestHead, methods: Sequence[str], states: PolicyStates) -> Respond:
        """Respond with 204; the headers say whether the origin may go on."""
        headers = self._origin_headers(head)
        outcome = self._outcome(head.value("origin"))
        states.of(Preflights).counts[outcome] += 1
        if outcome == "allowed":
            headers += self._permissions(head, methods)
        headers.append(("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"))
        return Respond(204, tuple(headers))

    def _outcome(self, origin: str | None) -> str:
        return "allowed" if "*" in self.origins or origin in self.origins else "other"

    def _permissions(self, head: RequestHead, methods: Sequence[str]) -> list[Header]:
        allowed = [method for method in methods if not self.methods or method in self.methods]
        permissions = [("Access-Control-Allow-Methods", ", ".join(allowed))]
        requested = head.value("access-control-request-headers")
        if self.headers is not None:
            permissions.append(("Access-Control-Allow-Headers", ", ".join(self.headers)))
        elif requested and _TOKENS.fullmatch(requested):
            permissions.append(("Access-Control-Allow-Headers", requested))
        if self.max_age is not None:
            permissions.append(("Access-Control-Max-Age", str(self.max_age)))
        return permissions

    def _origin_headers(self, head: RequestHead) -> list[Header]:
        """Return `Vary: Origin`, and the permission of the origin when it has one."""
        if "*" in self.origins:
            return [("Access-Control-Allow-Origin", "*")]
        # Without Vary a cache would hand one origin's permission to another (RFC 9110, 12.5.5).
        headers: list[Header] = [("Vary", "Origin")]
        origin = head.value("origin")
        if origin is not None and origin in self.origins:
            headers.append(("Access-Control-Allow-Origin", origin))
            if self.credentials:
                headers.append(("Access-Control-Allow-Credentials", "true"))
        return headers


def parse_cors(policy_id: str, config: Mapping[str, object]) -> Cors:
    """Return a Cors for its config. Raises ValueError."""
    check_keys(config, ("origins", "methods", "headers", "exposeHeaders", "credentials", "maxAge"))
    origins = read_strings(config, "origins")
    if not origins:
        raise ValueError("config.origins must name at least one origin, or '*'")
    for origin in origins:
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            raise ValueError(f"config.origins holds '{origin}', which is no scheme://host[:port]")
    credentials = read_bool(config, "credentials", default=False)
    # Browsers refuse the combination (Fetch standard, CORS check).
    if credentials and "*" in origins:
        raise ValueError("config.credentials cannot be true for the origin '*'")
    methods = read_tokens(config, "methods")
    if "*" in methods:
        raise ValueError("config.methods holds '*'; leave it out to allow those of the route")
    return Cors(
        origins=frozenset(origins),
        methods=tuple(method.upper() for method in methods),
        headers=read_tokens(config, "headers") if "headers" in config else None,
        expose=read_tokens(config, "exposeHeaders"),
        credentials=credentials,
        max_age=_read_max_age(config.get("maxAge")),
    )


def _read_max_age(value: object) -> int | None:
    if value is None:
        return None
    if value == "0s":
        return 0  # browsers ask anew each time
    try:
        return int(parse_duration(value))
    except ValueError as error:
        raise ValueError(f"config.maxAge: {error}") from None


POLICY = PolicyType(
    "cors",
    Phase.CROSS_ORIGIN,
    parse_cors,
    '`{"origins": [], "methods"?: [], "headers"?: [], "exposeHeaders"?: [], '
    '"credentials"?: bool, "maxAge"?: duration}`',
    is_single=True,
    is_public=always_public,
    states=(Preflights, CrossOriginRequests),
)
