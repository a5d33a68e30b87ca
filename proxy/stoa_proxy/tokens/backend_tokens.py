"""Tokens that the gateway gets for itself, to call backends with (RFC 6749, 4.4).

One token for all requests that want the same: fetched once at a time, kept until shortly before its
end, and replaced before. Where none is to be had nobody asks again for a while. Tokens and secrets
are in no log, no error and no list of the admin API.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus, urlencode

from stoa_proxy.core.backend_auth import ClientCredentials
from stoa_proxy.core.policy import FetchedResponse, Services
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.single_flight import SingleFlight
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.tokens")

# RFC 6749, 5.1: `expires_in` may be missing; then the server says it elsewhere, or nowhere.
_LIFETIME, _LONGEST_LIFETIME = 300.0, 86_400.0
# Before its end, so that no token ends on its way: the backend's clock may be ahead.
_MARGIN, _MARGIN_SHARE = 10.0, 0.1
# And so long before that a new one is asked for, while the old one still serves.
_EARLY, _EARLY_SHARE = 60.0, 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# A backend that refuses a token may refuse the request: so soon after it came no other is fetched.
_DOUBT_SECONDS: Final = 10.0
# So long whoever could do with the old token waits for a new one.
_PATIENCE: Final = 1.0
# Of one tenant; the one that was used longest ago is dropped, and fetched again.
_MAX_TOKENS: Final = 4096
# RFC 6749, appendix A.12: visible ASCII and spaces, of which a header can carry the former.
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_HEADERS: Final = (
    ("Accept", "application/json"),
    ("Content-Type", "application/x-www-form-urlencoded"),
)


@dataclass(slots=True)
class _Token:
    """A token, empty for none; times are those of the monotonic clock."""

    value: str = field(default="", repr=False)
    fetched_at: float = 0.0
    refresh_at: float = 0.0
    usable_until: float = 0.0
    retry_at: float = 0.0
    failures: int = 0


_Place = tuple[str, ClientCredentials]


class BackendTokens(PolicyState):
    """The tokens of all tenants, by the credentials that they were got with."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._tenants: dict[str, OrderedDict[ClientCredentials, _Token]] = {}
        self._fetching: SingleFlight[_Place, None] = SingleFlight()
        self._fetched: Counter[str] = Counter({"fetched": 0, "failed": 0})
        self._throttled_log = ThrottledLog(_log, clock)

    def families(self) -> list[MetricFamily]:
        """Return how often tokens were fetched, and how many there are."""
        return [
            MetricFamily(
                "counter",
                "stoa_backend_token_fetches_total",
                "Requests for tokens that backends are called with.",
                lambda: [({"result": name}, count) for name, count in self._fetched.items()],
            ),
            MetricFamily(
                "gauge",
                "stoa_backend_tokens",
                "Credentials for which tokens are kept.",
                lambda: sum(map(len, self._tenants.values())),
            ),
        ]

    def token(self, tenant: str, auth: ClientCredentials) -> str | None:
        """Return the token to send now, None where there is none."""
        found = self._find(tenant, auth)
        return found.value if self.clock.monotonic() < found.usable_until else None

    def is_ready(self, tenant: str, auth: ClientCredentials) -> bool:
        """Whether nothing is to be waited for: a token is here, or none is to be had for now."""
        found, now = self._find(tenant, auth), self.clock.monotonic()
        if now < found.retry_at:
            return True
        if now >= found.usable_until:
            return False
        return now < found.refresh_at or self._fetching.is_running((tenant, auth))

    def current(self, tenant: str, auth: ClientCredentials) -> str | None:
        """Return the `token` where it `is_ready`, in one look; None where `update` comes first."""
        found, now = self._find(tenant, auth), self.clock.monotonic()
        if now >= found.usable_until:
            return None
        is_fresh = now < found.refresh_at or now < found.retry_at
        return found.value if is_fresh or self._fetching.is_running((tenant, auth)) else None

    def retry_seconds(self, tenant: str, auth: ClientCredentials) -> float:
        """Return in how many seconds a token is asked for again, 0 for at once."""
        return max(0.0, self._find(tenant, auth).retry_at - self.clock.monotonic())

    def doubt(self, tenant: str, auth: ClientCredentials) -> None:
        """Ask for another token with the next request: a backend refused one with this."""
        found, now = self._find(tenant, auth), self.clock.monotonic()
        if now >= found.fetched_at + _DOUBT_SECONDS:
            found.refresh_at = min(found.refresh_at, now)

    async def update(
        self, tenant: str, auth: ClientCredentials, services: Services, seconds: float
    ) -> None:
        """Fetch a token where one is wanted, and wait for it for `seconds` at most.

        Raises nothing: `token` tells whether there is one.
        """
        if self.is_ready(tenant, auth):
            return
        found = self._find(tenant, auth)
        if self.clock.monotonic() < found.usable_until:
            seconds = min(seconds, _PATIENCE)
        # Fetching goes on when time is up, and has an end of its own.
        with contextlib.suppress(TimeoutError):
            await self._fetching.run(
                (tenant, auth), lambda: self._fetch(tenant, found, auth, services), seconds
            )

    def _find(self, tenant: str, auth: ClientCredentials) -> _Token:
        tokens = self._tenants.get(tenant)
        if tokens is None:
            tokens = self._tenants[tenant] = OrderedDict()
        found = tokens.get(auth)
        if found is None:
            found = tokens[auth] = _Token()
            while len(tokens) > _MAX_TOKENS:
                tokens.popitem(last=False)
        tokens.move_to_end(auth)
        return found

    async def _fetch(
        self, tenant: str, found: _Token, auth: ClientCredentials, services: Services
    ) -> None:
        """Fetch a token; a failure is kept, and nobody asks again for a while."""
        asked_at = self.clock.monotonic()
        try:
            headers = (*_HEADERS, ("Authorization", _basic(auth)))
            response = await services.fetch("POST", auth.token_url, headers, _body(auth))
            value, lifetime = _read(response)
        except ServiceFailed as error:
            self._fetched["failed"] += 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(found.failures, 10))
            found.failures += 1
            found.retry_at = self.clock.monotonic() + pause
            self._throttled_log.warning(
                "no token for a backend tenant=%s client=%r: %s",
                tenant,
                auth.client_id[:80],
                error,
                subject=tenant,
            )
            return
        self._fetched["fetched"] += 1
        found.value, found.failures, found.retry_at = value, 0, 0.0
        # From when it was asked for: what the answer took counts, too.
        found.fetched_at = asked_at
        found.usable_until = asked_at + lifetime - min(_MARGIN, lifetime * _MARGIN_SHARE)
        found.refresh_at = found.usable_until - min(_EARLY, lifetime * _EARLY_SHARE)


def _basic(auth: ClientCredentials) -> str:
    # RFC 6749, 2.3.1: both are encoded as forms are, and every server has to take them so.
    assert auth.client_secret is not None, "asked before"
    pair = f"{quote_plus(auth.client_id)}:{quote_plus(auth.client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _body(auth: ClientCredentials) -> bytes:
    fields = {"grant_type": "client_credentials"}
    if auth.scopes:
        fields["scope"] = " ".join(auth.scopes)
    return urlencode(fields).encode()


def _read(response: FetchedResponse) -> tuple[str, float]:
    """Return a token and its seconds. Raises ServiceFailed, which repeats nothing of the body."""
    if response.status != 200:
        raise ServiceFailed(f"the token endpoint responds with {response.status}")
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ServiceFailed("the token endpoint responds with no JSON object")
    token, kind, seconds = (
        value.get(name) for name in ("access_token", "token_type", "expires_in")
    )
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ServiceFailed("the token endpoint responds with no bearer token")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise ServiceFailed("the token endpoint's token cannot be sent in a header")
    return token, _lifetime(seconds)


def _lifetime(seconds: object) -> float:
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal():
        seconds = int(seconds[:9])  # some servers write a number as text
    if seconds is None:
        return _LIFETIME
    # RFC 6749, 5.1 counts whole seconds. With less than one each request would ask for a token.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 1:
        raise ServiceFailed("the token endpoint's token has ended already")
    # First the lesser one: an integer may be beyond all floats.
    return float(min(seconds, _LONGEST_LIFETIME))
