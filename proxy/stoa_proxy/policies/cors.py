"""`cors`: browsers of other origins. Preflights are answered here, before authentication."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.http.heads import Header, RequestHead, without
from stoa_proxy.policies.parsing import check_keys, read_bool, read_strings, read_tokens

_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?|null")
_TOKENS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]*")
_ANSWERS = frozenset(
    {
        "access-control-allow-origin", "access-control-allow-credentials",
        "access-control-expose-headers", "access-control-allow-methods",
        "access-control-allow-headers", "access-control-max-age",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cors(Policy):
    """Who may read answers; requests pass. Empty `methods`: the route's; `headers` None: what is asked for."""

    origins: frozenset[str]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int | None = None

    def response_filter(self, context: RequestContext, headers: list[Header]) -> None:
        """Replace the upstream's CORS headers by ours."""
        headers[:] = without(headers, _ANSWERS)
        headers += self._origin_headers(context.head)
        if self.expose and context.head.value("origin") is not None:
            headers.append(("Access-Control-Expose-Headers", ", ".join(self.expose)))

    def preflight(self, head: RequestHead, methods: Sequence[str]) -> Respond:
        """The answer to a preflight for routes that take `methods`: 204, with or without leave."""
        answer = self._origin_headers(head)
        if len(answer) > 1 or "*" in self.origins:
            answer += self._leave(head, methods)
        answer.append(("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"))
        return Respond(204, tuple(answer))

    def _leave(self, head: RequestHead, methods: Sequence[str]) -> list[Header]:
        named = [one for one in methods if not self.methods or one in self.methods]
        leave = [("Access-Control-Allow-Methods", ", ".join(named))]
        asked = head.value("access-control-request-headers")
        if self.headers is not None:
            leave.append(("Access-Control-Allow-Headers", ", ".join(self.headers)))
        elif asked and _TOKENS.fullmatch(asked):
            leave.append(("Access-Control-Allow-Headers", asked))
        if self.max_age is not None:
            leave.append(("Access-Control-Max-Age", str(self.max_age)))
        return leave

    def _origin_headers(self, head: RequestHead) -> list[Header]:
        """`Vary: Origin`, and leave for the origin when it has it."""
        if "*" in self.origins:
            return [("Access-Control-Allow-Origin", "*")]
        found: list[Header] = [("Vary", "Origin")]
        origin = head.value("origin")
        if origin is not None and origin in self.origins:
            found.append(("Access-Control-Allow-Origin", origin))
            if self.credentials:
                found.append(("Access-Control-Allow-Credentials", "true"))
        return found


def is_preflight(head: RequestHead) -> bool:
    """Whether a browser asks for leave rather than for the resource."""
    return (
        head.method == "OPTIONS"
        and head.value("origin") is not None
        and head.value("access-control-request-method") is not None
    )


def parse_cors(policy_id: str, config: Mapping[str, object]) -> Cors:
    """A Cors from its config. Raises ValueError."""
    check_keys(config, ("origins", "methods", "headers", "exposeHeaders", "credentials", "maxAge"))
    origins = read_strings(config, "origins")
    if not origins:
        raise ValueError("config.origins must name at least one origin, or '*'")
    for origin in origins:
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            raise ValueError(f"config.origins holds '{origin}', which is no scheme://host[:port]")
    credentials = read_bool(config, "credentials", default=False)
    if credentials and "*" in origins:
        raise ValueError("config.credentials cannot be true for the origin '*'")
    return Cors(
        origins=frozenset(origins),
        methods=tuple(one.upper() for one in read_tokens(config, "methods")),
        headers=read_tokens(config, "headers") if "headers" in config else None,
        expose=read_tokens(config, "exposeHeaders"),
        credentials=credentials,
        max_age=_read_max_age(config.get("maxAge")),
    )


def _read_max_age(value: object) -> int | None:
    if value is None:
        return None
    try:
        return int(parse_duration(value))
    except ValueError as error:
        raise ValueError(f"config.maxAge: {error}") from None
