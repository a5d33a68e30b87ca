"""`jwt`: requests need a JSON Web Token, signed by an issuer whose keys are fetched and kept."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from stoa_proxy.core.policy import (
    AsyncPolicy,
    Phase,
    PolicyContext,
    PolicyType,
    Services,
    always_public,
)
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.upstream_headers import header_text
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Header, is_identity
from stoa_proxy.policies.parsing import (
    check_keys,
    is_token,
    read_header_name,
    read_seconds,
    read_strings,
)
from stoa_proxy.tokens.claims import Accepted, ClaimRules, ClaimsLacking, client_of
from stoa_proxy.tokens.key_sets import KeySets, KeySource
from stoa_proxy.tokens.keys import ALGORITHMS
from stoa_proxy.tokens.signatures import SentToken, TokenRefused, read_token, verify

_HEADER: Final = "authorization"
_SCHEME: Final = "bearer "
_KINDS: Final = ("invalid", "lacking", "missing")
# The gateway itself writes these for the consumer that it identified.
_OF_CONSUMERS: Final = ("x-consumer-", "x-tenant-id")
# Of one tenant: checking a signature takes 30 to 150 µs, finding a token here 1.
_MAX_VERIFIED: Final = 4096
_MAX_VERIFIED_BYTES: Final = 4 * 1024 * 1024
_MAX_CLAIMS: Final = 64
_WAIT_SECONDS: Final = 4.0
# What one header for the backend may hold.
_MAX_FORWARDED: Final = 4096


class _Verified(NamedTuple):
    """A token whose signature was good under a key."""

    key_digest: bytes
    size: int
    claims: Mapping[str, Any]


class VerifiedTokens(PolicyState):
    """Tokens whose signature was checked, by tenant, so that each is checked once.

    Their claims and times are checked with every request, and so is that the key is still one of
    the issuer's.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._tenants: dict[str, _TenantTokens] = {}
        self.refused = dict.fromkeys(_KINDS, 0)

    def families(self) -> Iterable[MetricFamily]:
        """Return what was refused, and how many tokens are kept."""
        return [
            MetricFamily(
                "counter",
                "stoa_jwt_refusals_total",
                "Requests without a good token, by what was wrong.",
                lambda: [({"reason": name}, count) for name, count in self.refused.items()],
            ),
            MetricFamily(
                "gauge",
                "stoa_jwt_verified_tokens",
                "Tokens whose signature was checked and is not checked again.",
                lambda: sum(len(tenant.tokens) for tenant in self._tenants.values()),
            ),
        ]

    def get(self, tenant: str, digest: bytes) -> _Verified | None:
        """Return a token that was verified, by its digest."""
        held = self._tenants.get(tenant)
        return None if held is None else held.tokens.get(digest)

    def put(self, tenant: str, digest: bytes, verified: _Verified) -> None:
        """Keep a token; the one that was put longest ago goes where there are too many."""
        held = self._tenants.get(tenant)
        if held is None:
            held = self._tenants[tenant] = _TenantTokens()
        held.put(digest, verified)


class _TenantTokens:
    __slots__ = ("size", "tokens")

    def __init__(self) -> None:
        self.tokens: OrderedDict[bytes, _Verified] = OrderedDict()
        self.size = 0

    def put(self, digest: bytes, verified: _Verified) -> None:
        old = self.tokens.pop(digest, None)
        self.size += verified.size - (old.size if old is not None else 0)
        self.tokens[digest] = verified
        while len(self.tokens) > _MAX_VERIFIED or self.size > _MAX_VERIFIED_BYTES:
            self.size -= self.tokens.popitem(last=False)[1].size


class _Presented(NamedTuple):
    """What a request has to show: a token, or why it has none that can be checked."""

    token: SentToken | None
    refusal: Respond | None = None


@dataclass(frozen=True, slots=True)
class Jwt(AsyncPolicy):
    """Lets requests with a good token pass, identifies its client, and forwards claims.

    `forwarded` are claims and the headers that the backend gets them in.
    """

    source: KeySource
    rules: ClaimRules
    algorithms: frozenset[str]
    forwarded: tuple[tuple[str, str], ...] = ()
    # As requests are searched for them: lower case, `-` for `_`, as CGI-like upstreams read both.
    _hidden: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        names = frozenset(header.lower().replace("_", "-") for _, header in self.forwarded)
        object.__setattr__(self, "_hidden", names)

    def is_presented(self, context: PolicyContext) -> bool:
        """Whether a request carries a token, good or bad."""
        return self._present(context) != _Presented(None)

    def is_prepared(self, context: PolicyContext) -> bool:
        """Whether the token can be checked, or refused, with what is here."""
        token = self._present(context).token
        if token is None:
            return True
        keys = context.states.of(KeySets)
        return keys.is_current(context.route.tenant_id, self.source, token)

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        """Fetch the issuer's keys. Raises ServiceFailed."""
        token = self._present(context).token
        if token is not None:
            keys = context.states.of(KeySets)
            # Less than the engine gives, or the keys of before would be of no use.
            seconds = min(_WAIT_SECONDS, context.route.timeout * 0.8)
            await keys.update(context.route.tenant_id, self.source, token, services, seconds)
        return None

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 401 without a good token, with 403 one that lacks a required claim."""
        presented = self._present(context)
        tokens = context.states.of(VerifiedTokens)
        if presented.token is None:
            tokens.refused["missing" if presented.refusal is None else "invalid"] += 1
            return presented.refusal or _unauthorized("A token is needed.")
        try:
            claims = self._verify(context, presented.token, tokens)
            self.rules.check(claims, context.clock.now().timestamp())
        except ClaimsLacking as error:
            tokens.refused["lacking"] += 1
            return _lacking(str(error))
        except TokenRefused as error:
            tokens.refused["invalid"] += 1
            return _unauthorized(str(error), "invalid_token")
        client = client_of(claims)
        context.consumer = None if client is None else context.find_client(client)
        context.notes[Jwt] = claims
        return None

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Send claims to the backend; what the client sent under their names goes nowhere."""
        if not self.forwarded:
            return
        headers[:] = [
            pair for pair in headers if pair[0].lower().replace("_", "-") not in self._hidden
        ]
        claims = context.notes.get(Jwt)
        if not isinstance(claims, Mapping):
            return
        for name, header in self.forwarded:
            if name in claims:
                text = _claim_text(claims[name])
                if len(text) <= _MAX_FORWARDED:
                    headers.append((header, text))

    def _present(self, context: PolicyContext) -> _Presented:
        """Read the token once for each request."""
        found = context.notes.get(Jwt)
        if not isinstance(found, _Presented):
            found = context.notes[Jwt] = self._read(context)
        return found

    def _read(self, context: PolicyContext) -> _Presented:
        context.secret_headers |= {_HEADER}
        values = context.head.values(_HEADER)
        if len(values) > 1:
            # Which of two is meant is a guess, and guesses get past checks.
            return _Presented(None, _bad_request("'Authorization' is sent more than once."))
        if not values or values[0][: len(_SCHEME)].lower() != _SCHEME:
            return _Presented(None)
        try:
            token = read_token(values[0][len(_SCHEME) :].strip())
        except TokenRefused as error:
            return _Presented(None, _unauthorized(str(error), "invalid_token"))
        if token.algorithm not in self.algorithms:
            message = "The token's algorithm is not accepted."
            return _Presented(None, _unauthorized(message, "invalid_token"))
        return _Presented(token)

    def _verify(
        self, context: PolicyContext, token: SentToken, tokens: VerifiedTokens
    ) -> Mapping[str, Any]:
        """Return the claims of a token whose signature is good. Raises TokenRefused."""
        tenant, keys = context.route.tenant_id, context.states.of(KeySets)
        known = tokens.get(tenant, token.digest)
        if known is not None and keys.has_key(tenant, self.source, known.key_digest):
            return known.claims
        key, claims = verify(token, keys.keys_for(tenant, self.source, token))
        tokens.put(tenant, token.digest, _Verified(key.digest, len(token.text), claims))
        return claims


def _bad_request(detail: str) -> Respond:
    return problem(400, "Bad request", detail, kind="credential-ambiguous")


def _unauthorized(detail: str, error: str = "") -> Respond:
    # RFC 6750, 3.1: no error code where no token was sent.
    challenge = 'Bearer realm="api"'
    if error:
        challenge += f', error="{error}", error_description="{_quotable(detail)}"'
    kind = "credential-invalid" if error else "credential-missing"
    return problem(401, "Unauthorized", detail, [("WWW-Authenticate", challenge)], kind=kind)


def _lacking(detail: str) -> Respond:
    challenge = (
        f'Bearer realm="api", error="insufficient_scope", error_description="{_quotable(detail)}"'
    )
    headers = [("WWW-Authenticate", challenge)]
    return problem(403, "Forbidden", detail, headers, kind="claim-needed")


def _quotable(text: str) -> str:
    # RFC 6750, 3: printable ASCII without quotes and backslashes.
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)


def _claim_text(value: object) -> str:
    """Return a claim as one header value: texts as they are, lists of texts joined by commas."""
    if isinstance(value, str):
        return header_text(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return header_text(",".join(value))
    return header_text(json.dumps(value, separators=(",", ":")))


def parse_jwt(policy_id: str, config: Mapping[str, object]) -> Jwt:
    """Return a Jwt for its config. Raises ValueError."""
    check_keys(
        config,
        (
            "issuer", "audiences", "jwksUri", "requiredClaims", "forwardClaims", "clockSkew",
            "algorithms",
        ),
    )  # fmt: skip
    issuer = config.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise ValueError("config.issuer must be a string that is not empty")
    url = config.get("jwksUri")
    if url is None:
        _check_url(issuer, "config.issuer (whose keys are found by discovery without jwksUri)")
    else:
        _check_url(url, "config.jwksUri")
    algorithms = read_strings(config, "algorithms")
    for name in algorithms:
        if name not in ALGORITHMS:
            raise ValueError(f"config.algorithms holds '{name}'; known are {', '.join(ALGORITHMS)}")
    return Jwt(
        KeySource(issuer, None if url is None else str(url)),
        ClaimRules(
            issuer,
            frozenset(read_strings(config, "audiences")),
            _read_required(config),
            _read_skew(config),
        ),
        frozenset(algorithms or ALGORITHMS),
        _read_forwarded(config),
    )


def _check_url(value: object, where: str) -> None:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        is_usable = parts is not None and bool(parts.hostname) and parts.port != 0
        is_usable = is_usable and parts is not None and "@" not in parts.netloc
    except ValueError:
        is_usable = False
    if parts is None or not is_usable or parts.scheme not in ("http", "https") or parts.fragment:
        raise ValueError(f"{where} must be an http or https URL without user info")


def _read_skew(config: Mapping[str, object]) -> float:
    seconds = read_seconds(config, "clockSkew", "30s", with_zero=True)
    if seconds > 3600:
        raise ValueError("config.clockSkew must be an hour at most")
    return seconds


def _read_required(config: Mapping[str, object]) -> tuple[tuple[str, Accepted], ...]:
    value = config.get("requiredClaims", {})
    if not isinstance(value, dict) or len(value) > _MAX_CLAIMS:
        raise ValueError(f"config.requiredClaims must be an object of {_MAX_CLAIMS} claims at most")
    required: list[tuple[str, Accepted]] = []
    for name, accepted in sorted(value.items()):
        is_list = isinstance(accepted, list) and all(isinstance(one, str) for one in accepted)
        if not is_list and not isinstance(accepted, str | int | float | bool):
            raise ValueError(
                f"config.requiredClaims.{name} must be text, a number, true, false or texts"
            )
        required.append((name, tuple(accepted) if isinstance(accepted, list) else (accepted,)))
    return tuple(required)


def _read_forwarded(config: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    value = config.get("forwardClaims", {})
    if not isinstance(value, dict) or len(value) > _MAX_CLAIMS:
        raise ValueError(f"config.forwardClaims must be an object of {_MAX_CLAIMS} claims at most")
    where = "config.forwardClaims"
    names: set[str] = set()
    for name, header in value.items():
        if not isinstance(header, str):
            raise ValueError(f"{where}.{name} must be the name of a header")
        key = header.lower().replace("_", "-")
        if key.startswith(_OF_CONSUMERS):
            raise ValueError(f"{where} holds '{header}', which tells of the consumer")
        # Other claims of identity are what this policy has checked.
        if not (is_identity(key) and is_token(header)):
            read_header_name(header, where)
        if key in names or key == _HEADER:
            raise ValueError(f"{where} holds '{header}', which has another meaning already")
        names.add(key)
    return tuple(sorted((str(name), str(header)) for name, header in value.items()))


POLICY = PolicyType(
    "jwt",
    Phase.AUTHENTICATION,
    parse_jwt,
    '`{"issuer"?: string, "audiences"?: [], "jwksUri"?: url, "requiredClaims"?: {claim: value or '
    '[values]}, "forwardClaims"?: {claim: header}, "clockSkew": duration = "30s", "algorithms"?: '
    "[]}`; without `jwksUri` the keys are found by discovery, and without `issuer` it is that of "
    "`STOA_KEYCLOAK_URL`",
    statuses=(400, 401, 403, 503),
    is_single=True,
    is_public=always_public,
    states=(KeySets, VerifiedTokens),
)
