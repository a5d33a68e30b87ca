"""`api_key`: identifies the consumer by a key in one header or one query parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from stoa_proxy.core.match import parameter_name
from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Repeat,
    always_public,
)
from stoa_proxy.core.policy_states import OutcomeCounts
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.policies.parsing import check_keys, is_token, read_bool


class KeyRefusals(OutcomeCounts):
    """Requests without a good key, by what was wrong."""

    metric = "stoa_key_refusals_total"
    text = "Requests without a good API key, by what was wrong."
    label = "reason"
    outcomes = ("ambiguous", "missing", "unknown")


@dataclass(frozen=True, slots=True)
class ApiKey(Policy):
    """Reads the key from `location` (`header` or `query`); `hide` keeps it from the upstream."""

    location: str = "header"
    name: str = "X-API-Key"
    hide: bool = True
    # As requests are searched for it: a header's name in lower case, a parameter's as it is.
    _names: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        name = self.name.lower() if self.location == "header" else self.name
        object.__setattr__(self, "_names", frozenset({name}))

    @property
    def key_place(self) -> tuple[str, str]:
        """Where it reads the key."""
        return self.location, self.name

    def is_presented(self, context: PolicyContext) -> bool:
        """Whether a request carries a key."""
        return bool(self._find_keys(context))

    @property
    def header_names(self) -> frozenset[str]:
        """That of the key."""
        return self._names if self.location == "header" else frozenset()

    def repeat(self, context: PolicyContext) -> Repeat | None:
        """Return that nothing is left: equal headers carry the same key."""
        return Repeat() if self.location == "header" else None

    def reads_client(self, context: PolicyContext) -> bool:
        """Return False: a key is known wherever it comes from."""
        return False

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Identify the consumer: 400 for two keys, 401 for none or an unknown one."""
        self._mark_secret(context)
        keys = self._find_keys(context)
        if len(keys) > 1:
            # Which of two is meant is a guess, and guesses get past checks.
            context.states.of(KeyRefusals).counts["ambiguous"] += 1
            detail = f"'{self.name}' is sent more than once."
            return problem(400, "Bad request", detail, kind="credential-ambiguous")
        consumer = context.find_consumer(keys[0]) if keys and keys[0] else None
        if consumer is None:
            context.states.of(KeyRefusals).counts["unknown" if keys else "missing"] += 1
            detail = (
                "The API key is not known." if keys else f"An API key in '{self.name}' is needed."
            )
            # RFC 9110, 11.6.1: 401 must name a challenge.
            challenge = ("WWW-Authenticate", 'ApiKey realm="api"')
            kind = "credential-invalid" if keys else "credential-missing"
            return problem(401, "Unauthorized", detail, [challenge], kind=kind)
        context.consumer = consumer
        return None

    def _mark_secret(self, context: PolicyContext) -> None:
        if self.location == "header":
            context.secret_headers |= self._names
            if self.hide:
                context.hidden_headers |= self._names
            return
        context.secret_query |= self._names
        if self.hide:
            context.hidden_query |= self._names

    def _find_keys(self, context: PolicyContext) -> list[str]:
        if self.location == "header":
            return [value.strip() for value in context.head.values(self.name.lower())]
        parts = (context.path.query or "").split("&")
        matching = [part for part in parts if part and parameter_name(part) == self.name]
        return [unquote_plus(part.partition("=")[2], errors="surrogateescape") for part in matching]


def parse_api_key(policy_id: str, config: Mapping[str, object]) -> ApiKey:
    """Return an ApiKey for `{in, name, hide}`. Raises ValueError."""
    check_keys(config, ("in", "name", "hide"))
    location = config.get("in", "header")
    if location not in ("header", "query"):
        raise ValueError("config.in must be 'header' or 'query'")
    name = config.get("name", "X-API-Key")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("config.name must be a string that is not blank")
    if location == "header" and not is_token(name):
        raise ValueError(f"config.name '{name}' is not a header name")
    return ApiKey(str(location), name, read_bool(config, "hide", default=True))


POLICY = PolicyType(
    "api_key",
    Phase.AUTHENTICATION,
    parse_api_key,
    '`{"in": "header"\\|"query" = "header", "name": string = "X-API-Key", "hide": bool = true}`',
    statuses=(400, 401),
    is_single=True,
    is_public=always_public,
    states=(KeyRefusals,),
)
