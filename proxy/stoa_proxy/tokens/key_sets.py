"""Key sets of issuers: fetched once for all requests that want them, and kept for some time.

A key that a token names and a set lacks may be new: the set is then fetched again, but not more
often than every 30 s, whatever tokens name. While an endpoint does not respond the keys of before
are used, for an hour at most.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from stoa_proxy.core.policy import FetchedResponse, Services
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.single_flight import SingleFlight
from stoa_proxy.keycloak_config import Realm
from stoa_proxy.tokens.keys import KeysInvalid, VerificationKey, parse_key_set
from stoa_proxy.tokens.signatures import SentToken, select_keys

# How long a set is used without asking again: what `Cache-Control: max-age` says within these
# bounds, or what issuers usually say.
_LEAST_FRESH, _FRESH, _MOST_FRESH = 60.0, 300.0, 3600.0
# And while asking again fails. A key that was taken back is trusted for as long at worst.
_STALE: Final = 3600.0
_LOOK_AGAIN: Final = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
# So long who could do without waits for new keys.
_PATIENCE: Final = 1.0
# Key sets of one tenant, of at most 100 keys each; the one that was used longest ago is dropped.
_MAX_SOURCES: Final = 64
_MAX_AGE: Final = re.compile(r"max-age=\"?([0-9]{1,9})")
_ACCEPT: Final = (("Accept", "application/json"),)


# Of what belongs to no tenant.
_NOBODY: Final = ""


class KeySource(NamedTuple):
    """Where an issuer's keys are; without `url` it is found by discovery."""

    issuer: str
    url: str | None


_Place = tuple[str, KeySource]


@dataclass(slots=True)
class _KeySet:
    """The keys of a source; times are those of the monotonic clock."""

    keys: tuple[VerificationKey, ...] = ()
    digests: frozenset[bytes] = frozenset()
    url: str | None = None
    fetched_at: float = 0.0
    fresh_until: float = 0.0
    usable_until: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    trouble: str = ""


class KeySets(PolicyState):
    """The key sets of all issuers, by tenant and source.

    Those of `realm` are the gateway's own: they are fetched once for all tenants, from where the
    operator says, by what `realm_services` returns.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.realm: Realm | None = None
        self.realm_services: Callable[[], Services] | None = None
        self._tenants: dict[str, OrderedDict[KeySource, _KeySet]] = {}
        self._fetching: SingleFlight[_Place, None] = SingleFlight()
        self._fetched = {"fetched": 0, "failed": 0}

    def families(self) -> list[MetricFamily]:
        """Return how often key sets were fetched, and how many there are."""
        return [
            MetricFamily(
                "counter",
                "stoa_jwt_key_fetches_total",
                "Fetches of key sets of issuers.",
                lambda: [({"result": name}, count) for name, count in self._fetched.items()],
            ),
            MetricFamily(
                "gauge",
                "stoa_jwt_key_sets",
                "Key sets of issuers that are kept.",
                lambda: sum(map(len, self._tenants.values())),
            ),
        ]

    def is_current(self, tenant: str, source: KeySource, token: SentToken) -> bool:
        """Whether a token can be checked with the keys that are here, without asking for more."""
        found = self._find(tenant, source)
        now = self.clock.monotonic()
        if now >= found.usable_until:
            return False
        return not self._wants_fetch(found, token, now)

    def keys_for(
        self, tenant: str, source: KeySource, token: SentToken
    ) -> tuple[VerificationKey, ...]:
        """Return the keys that may have signed a token, of those that are here and usable."""
        found = self._find(tenant, source)
        if self.clock.monotonic() >= found.usable_until:
            return ()
        return select_keys(token, found.keys)

    def has_key(self, tenant: str, source: KeySource, digest: bytes) -> bool:
        """Whether a key is still one of a source's."""
        found = self._find(tenant, source)
        return digest in found.digests and self.clock.monotonic() < found.usable_until

    async def update(
        self,
        tenant: str,
        source: KeySource,
        token: SentToken,
        services: Services,
        seconds: float,
    ) -> None:
        """Fetch the keys that a token needs, where they are not here or may be old.

        Waits for `seconds` at most, and less where the token can be checked with the keys of
        before. Raises ServiceFailed where there are none to check it with.
        """
        found = self._find(tenant, source)
        if self._is_realm(source):
            tenant = _NOBODY
            if self.realm_services is not None:
                services = self.realm_services()
        place = (tenant, source)
        now = self.clock.monotonic()
        has_key = now < found.usable_until and bool(select_keys(token, found.keys))
        if self._wants_fetch(found, token, now) and not (
            # Who has what it needs does not wait for what another one asks for already.
            has_key and self._fetching.is_running(place)
        ):
            seconds = min(seconds, _PATIENCE) if has_key else seconds
            # Fetching goes on when time is up, and has an end of its own.
            with contextlib.suppress(TimeoutError):
                await self._fetching.run(
                    place, lambda: self._fetch(found, source, services), seconds
                )
        if self.clock.monotonic() >= found.usable_until:
            raise ServiceFailed(f"no keys of the issuer: {found.trouble or 'they do not come'}")

    def _is_realm(self, source: KeySource) -> bool:
        """Whether a source is the operator's realm, found by discovery."""
        realm = self.realm
        return realm is not None and source.url is None and source.issuer == realm.issuer

    def _find(self, tenant: str, source: KeySource) -> _KeySet:
        if self._is_realm(source):
            tenant = _NOBODY
        sources = self._tenants.get(tenant)
        if sources is None:
            sources = self._tenants[tenant] = OrderedDict()
        found = sources.get(source)
        if found is None:
            found = sources[source] = _KeySet()
            while len(sources) > _MAX_SOURCES:
                sources.popitem(last=False)
        sources.move_to_end(source)
        return found

    def _wants_fetch(self, found: _KeySet, token: SentToken, now: float) -> bool:
        if now < found.retry_at:
            return False
        if now >= found.fresh_until:
            return True
        return now >= found.fetched_at + _LOOK_AGAIN and not select_keys(token, found.keys)

    async def _fetch(self, found: _KeySet, source: KeySource, services: Services) -> None:
        """Fetch a set; a failure is kept, and nobody asks again for a while."""
        try:
            if found.url is None:
                realm = self.realm if self._is_realm(source) else None
                found.url = source.url or await _discover(source.issuer, services, realm)
            response = await services.fetch("GET", found.url, _ACCEPT)
            keys = _read_keys(response)
        except ServiceFailed as error:
            self._fetched["failed"] += 1
            found.trouble = str(error)
            # It may have moved.
            found.url = None
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(found.failures, 10))
            found.failures += 1
            found.retry_at = self.clock.monotonic() + pause
            return
        self._fetched["fetched"] += 1
        now = self.clock.monotonic()
        found.keys, found.digests = keys, frozenset(key.digest for key in keys)
        found.failures, found.trouble = 0, ""
        found.fetched_at = now
        found.fresh_until = now + _fresh_seconds(response)
        found.usable_until = found.fresh_until + _STALE


async def _discover(issuer: str, services: Services, realm: Realm | None) -> str:
    """Return where an issuer's keys are (OpenID Connect Discovery 1.0, 4). Raises ServiceFailed.

    A realm is asked at its internal address, and its keys are fetched from there.
    """
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    if realm is not None:
        url = realm.discovery_url
    response = await services.fetch("GET", url, _ACCEPT)
    try:
        value = json.loads(response.body) if response.status == 200 else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ServiceFailed(f"the issuer's discovery responds with {response.status} and no JSON")
    # 4.3: another issuer's document must not be used, or one could speak for another.
    named = value.get("issuer")
    if named != issuer and (realm is None or not realm.is_described(named)):
        raise ServiceFailed("the issuer's discovery is about another issuer")
    found = value.get("jwks_uri")
    if not isinstance(found, str):
        raise ServiceFailed("the issuer's discovery does not say where its keys are")
    if realm is not None:
        inside = realm.internal_url(found)
        if inside is None:
            raise ServiceFailed("the realm's keys are at neither of its two addresses")
        return inside
    if urlsplit(issuer).scheme == "https" and not found.startswith("https://"):
        raise ServiceFailed("the issuer's keys are not behind https as it is itself")
    return found


def _read_keys(response: FetchedResponse) -> tuple[VerificationKey, ...]:
    if response.status != 200:
        raise ServiceFailed(f"the key set's URL responds with {response.status}")
    try:
        return parse_key_set(response.body)
    except KeysInvalid as error:
        raise ServiceFailed(str(error)) from None


def _fresh_seconds(response: FetchedResponse) -> float:
    values = [value for name, value in response.headers if name.lower() == "cache-control"]
    found = _MAX_AGE.search(",".join(values).lower())
    if found is None:
        return _FRESH
    return min(_MOST_FRESH, max(_LEAST_FRESH, float(found[1])))
