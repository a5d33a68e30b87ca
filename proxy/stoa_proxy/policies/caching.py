"""`caching`: responses that are kept for a while and served to others, as a shared cache may."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.cache_lookup import (
    BodyRecorder,
    CacheLookup,
    is_recordable,
    serve_stored,
)
from stoa_proxy.core.match import edit_query, parameter_name
from stoa_proxy.core.policy import (
    AsyncPolicy,
    Phase,
    PolicyContext,
    PolicyType,
    RequestEnd,
    Services,
    always_public,
)
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.response_cache import (
    CacheUrl,
    FlightKey,
    ResponseCache,
    StoredResponse,
)
from stoa_proxy.foundation.flights import Flight
from stoa_proxy.http import cache_rules
from stoa_proxy.http.heads import Header, RequestHead, filter_response_headers, without
from stoa_proxy.policies.parsing import check_keys, read_seconds, read_strings, read_tokens

_METHODS: Final = ("GET", "HEAD")
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_NAMES: Final = 32
# Less than what the engine gives to a policy that waits: whoever waited in vain asks the backend.
_WAIT_SECONDS: Final = 4.0
# Beyond the time of the route, for a body.
_FLIGHT_SECONDS: Final = 30.0
_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})


@dataclass(frozen=True, slots=True)
class Caching(AsyncPolicy):
    """Keeps responses of `statuses`, for `ttl` seconds where they say nothing themselves.

    `vary_headers` (lower case) tell responses apart beside `Vary`; `vary_query` are the parameters
    that do, empty for all. What is kept belongs to `key`.
    """

    key: str
    ttl: float
    methods: frozenset[str]
    statuses: frozenset[int]
    vary_headers: tuple[str, ...]
    vary_query: frozenset[str]

    def is_prepared(self, context: PolicyContext) -> bool:
        """Whether there is nothing to wait for: no equal request that will bring the response."""
        return self._find_flight(context) is None

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        """Wait for an equal request, for a bounded time."""
        flight = self._find_flight(context)
        if flight is not None:
            look = self._look(context)
            look.has_waited = True
            await flight.wait(min(_WAIT_SECONDS, context.route.timeout * 0.8))
            if not flight.is_over:
                # Its client may read slowly on purpose, and would keep everybody waiting.
                key = self._flight_key(look, context.head)
                context.states.of(ResponseCache).flights.give_up(key, flight)
        return None

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Respond with what is kept and fresh."""
        look, cache = self._look(context), context.states.of(ResponseCache)
        if look.is_bypassed:
            cache.results["bypass"] += 1
            return None
        stored = self._find(cache, look, context.head)
        if stored is not None:
            if self._is_servable(stored, look, cache.clock.monotonic()):
                cache.results["collapsed" if look.has_waited else "hit"] += 1
                return serve_stored(stored, context.head, context.clock.monotonic())
            look.stored = stored
        if "only-if-cached" in look.directives:  # RFC 9111, 5.2.1.7
            return problem(504, "Gateway timeout", "No stored response.", kind="not-cached")
        cache.results["miss"] += 1
        if _is_shareable(look, context.head):
            key = self._flight_key(look, context.head)
            look.flight_key = key
            look.flight = cache.flights.begin(key, context.route.timeout + _FLIGHT_SECONDS)
        return None

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Ask whether what is kept is still right, in place of the client's own question."""
        look = self._look(context)
        # Whatever the gateway itself writes is among them: the policies before have run.
        look.sent = headers
        if look.stored is None or context.fallback_reason is not None:
            return
        conditions = cache_rules.validators(look.stored.headers)
        if conditions and context.head.method == "GET":
            headers[:] = [*without(headers, _CONDITIONS), *conditions]
            look.is_validating = True

    def upstream_response_filter(
        self, context: PolicyContext, status: int, headers: Sequence[Header]
    ) -> Respond | None:
        """Serve what is kept for a 304 or an error, and keep what may be kept."""
        look, cache = self._look(context), context.states.of(ResponseCache)
        if context.fallback_reason is not None:
            return None
        if context.head.method not in _SAFE:
            if 200 <= status < 400:  # RFC 9111, 4.4
                cache.remove(look.url)
            return None
        if look.is_bypassed or context.head.method != "GET":
            return None
        if look.stored is not None:
            if status == 304 and look.is_validating:
                return self._revalidate(context, look, look.stored, headers)
            if status >= 500:
                response = self._serve_stale(context, look)
                if response is not None:
                    return response
        self._record(context, look, status, headers)
        return None

    def failure_filter(self, context: PolicyContext, reason: str) -> Respond | None:
        """Serve what is kept where the backend fails, if it says that this may be done."""
        return self._serve_stale(context, self._look(context))

    def log(self, context: PolicyContext, end: RequestEnd) -> None:
        """Let those go on who wait for this request, whatever became of it."""
        self._land(context)

    def _look(self, context: PolicyContext) -> CacheLookup:
        look = context.notes.get(Caching)
        if isinstance(look, CacheLookup):
            return look
        head, route, backend = context.head, context.route, context.route.backend
        path = context.path
        query = edit_query(path.query or "", context.hidden_query | context.secret_query, None)
        if self.vary_query:
            parts = [part for part in query.split("&") if parameter_name(part) in self.vary_query]
            query = "&".join(parts)
        host = path.authority or head.value("host") or ""
        upstream = ""
        if isinstance(backend, Backend):
            upstream = f"{backend.scheme}://{backend.host}:{backend.port}{backend.base_path}"
            upstream += f"?{backend.base_query}"
        directives = cache_rules.request_directives(head)
        look = context.notes[Caching] = CacheLookup(
            # Host and scheme, too: the backend gets them in X-Forwarded-*, and may answer by them.
            CacheUrl(
                route.tenant_id, self.key, f"{route.id} {upstream}", f"{head.scheme}://{host}",
                path.raw, query,
            ),
            "" if context.consumer is None else context.consumer.id,
            cache_rules.bypasses(head)
            or head.method not in self.methods
            or "no-store" in directives
            or not context.filters_responses
            or context.is_websocket
            or not isinstance(backend, Backend),
            cache_rules.is_personal(head),
            directives,
        )  # fmt: skip
        return look

    def _find(
        self, cache: ResponseCache, look: CacheLookup, head: RequestHead
    ) -> StoredResponse | None:
        def matches(stored: StoredResponse) -> bool:
            if look.is_personal and not stored.is_for_all:
                return False
            return all(
                cache_rules.comparable(head.values(name), name) == value
                for name, value in stored.variant
            )

        return cache.find(look.url, look.consumer, matches)

    def _is_servable(self, stored: StoredResponse, look: CacheLookup, now: float) -> bool:
        """Whether a stored response may be served without asking the backend (RFC 9111, 4)."""
        directives = look.directives
        if stored.needs_validation or "no-cache" in directives:
            return False
        age = stored.age_at(now)
        left = stored.fresh - age
        most = cache_rules.seconds_of(directives, "max-age")
        least = cache_rules.seconds_of(directives, "min-fresh") or 0.0
        return left > 0 and left >= least and (most is None or age <= most)

    def _find_flight(self, context: PolicyContext) -> Flight | None:
        """Return the equal request that is to be waited for, if there is one."""
        look = self._look(context)
        if look.has_waited or not _is_shareable(look, context.head):
            return None
        cache = context.states.of(ResponseCache)
        if not len(cache.flights) or not cache.is_worth_waiting(look.url):
            return None
        flight = cache.flights.find(self._flight_key(look, context.head))
        if flight is None:
            return None
        stored = self._find(cache, look, context.head)
        is_here = stored is not None and self._is_servable(stored, look, cache.clock.monotonic())
        return None if is_here else flight

    def _flight_key(self, look: CacheLookup, head: RequestHead) -> FlightKey:
        names = sorted({*self.vary_headers, "accept-encoding", "accept"})
        variant = tuple((name, cache_rules.comparable(head.values(name), name)) for name in names)
        return FlightKey(look.url, look.consumer, variant)

    def _land(self, context: PolicyContext) -> None:
        """End what others wait for."""
        look = context.notes.get(Caching)
        if (
            isinstance(look, CacheLookup)
            and look.flight is not None
            and look.flight_key is not None
        ):
            context.states.of(ResponseCache).flights.end(look.flight_key, look.flight)
            look.flight = None

    def _revalidate(
        self,
        context: PolicyContext,
        look: CacheLookup,
        stored: StoredResponse,
        headers: Sequence[Header],
    ) -> Respond:
        cache = context.states.of(ResponseCache)
        newer = without(filter_response_headers(headers), frozenset({"set-cookie"}))
        kept = cache_rules.freshened(stored.headers, newer)
        directives = cache_rules.read_directives(cache_rules.values_of(kept, "cache-control"))
        fresh = self._make(context, look, stored.status, kept, stored.body, stored.variant)
        personal = look.is_personal
        is_kept = cache_rules.is_storable(stored.status, kept, directives, personal=personal)
        if is_kept and self._variant(look, context.head, kept) == stored.variant:
            cache.replace(look.url, stored, fresh)
        elif not personal:  # it is for others than before, or for nobody else
            cache.remove(look.url)
        cache.results["revalidated"] += 1
        self._land(context)
        return serve_stored(fresh, context.head, context.clock.monotonic())

    def _serve_stale(self, context: PolicyContext, look: CacheLookup) -> Respond | None:
        """Return a stale response in place of an error (RFC 5861, 4), if that is allowed."""
        stored, cache = look.stored, context.states.of(ResponseCache)
        if stored is None or stored.needs_validation or context.fallback_reason is not None:
            return None
        asked = cache_rules.seconds_of(look.directives, "stale-if-error") or 0.0
        longer = max(stored.stale_if_error, asked if stored.stale_if_error else 0.0)
        if stored.age_at(cache.clock.monotonic()) > stored.fresh + longer:
            return None
        cache.results["stale"] += 1
        self._land(context)
        return serve_stored(stored, context.head, context.clock.monotonic())

    def _record(
        self, context: PolicyContext, look: CacheLookup, status: int, headers: Sequence[Header]
    ) -> None:
        """Have the body recorded of a response that may be kept."""
        cache = context.states.of(ResponseCache)
        kept = filter_response_headers(headers)
        directives = cache_rules.read_directives(cache_rules.values_of(kept, "cache-control"))
        variant = self._variant(look, context.head, kept)
        is_kept = (
            status in self.statuses
            and variant is not None
            and cache_rules.is_storable(status, kept, directives, personal=look.is_personal)
            and is_recordable(status, headers)
        )
        if variant is None or not is_kept:
            if not look.is_personal:
                if look.stored is not None and status < 500:
                    # What was kept is not what the backend says now.
                    cache.remove(look.url)
                cache.note_not_kept(look.url)
            self._land(context)
            return

        def keep(body: bytes) -> None:
            stored = self._make(context, look, status, tuple(kept), body, variant)
            if stored.fresh > stored.age or cache_rules.validators(kept):
                cache.store(look.url, stored)
            else:
                cache.note_not_kept(look.url)
            self._land(context)

        def give_up() -> None:
            cache.note_not_kept(look.url)
            self._land(context)

        context.recorder = BodyRecorder(keep, give_up)

    def _variant(
        self, look: CacheLookup, head: RequestHead, headers: Sequence[Header]
    ) -> tuple[tuple[str, str], ...] | None:
        """Return the request headers that a response is for; None where they are not known here."""
        said = cache_rules.vary_names(headers)
        # What the backend goes by and the client did not send so (a claim, an address, an edit)
        # would not tell clients apart.
        if any(cache_rules.values_of(look.sent, name) != head.values(name) for name in said):
            return None
        names = {*self.vary_headers, *said}
        if cache_rules.values_of(headers, "content-encoding"):
            # Whoever forgets to say `Vary` does not mean that everybody can read it.
            names.add("accept-encoding")
        if len(names) > _MAX_NAMES:
            return None
        return tuple(
            (name, cache_rules.comparable(head.values(name), name)) for name in sorted(names)
        )

    def _make(
        self,
        context: PolicyContext,
        look: CacheLookup,
        status: int,
        headers: tuple[Header, ...],
        body: bytes,
        variant: tuple[tuple[str, str], ...],
    ) -> StoredResponse:
        directives = cache_rules.read_directives(cache_rules.values_of(headers, "cache-control"))
        life = cache_rules.lifetime(headers, directives, self.ttl, context.clock.now().timestamp())
        is_for_all = cache_rules.is_for_all(directives)
        return StoredResponse(
            consumer="" if is_for_all else look.consumer,
            variant=variant,
            status=status,
            headers=tuple(without(headers, frozenset({"age"}))),
            body=body,
            stored_at=context.clock.monotonic(),
            age=life.age,
            fresh=life.fresh,
            stale_if_error=life.stale_if_error,
            needs_validation=life.needs_validation,
            is_for_all=is_for_all,
        )


def _is_shareable(look: CacheLookup, head: RequestHead) -> bool:
    return not look.is_bypassed and not look.is_personal and head.method == "GET"


def parse_caching(policy_id: str, config: Mapping[str, object]) -> Caching:
    """Return a Caching for its config. Raises ValueError."""
    check_keys(config, ("ttl", "methods", "statuses", "varyHeaders", "varyQuery"))
    methods = frozenset(
        m.upper() for m in read_tokens({"methods": list(_METHODS), **config}, "methods")
    )
    if not methods or not methods <= set(_METHODS):
        raise ValueError("config.methods must be of GET and HEAD: others have no stored responses")
    statuses = config.get("statuses", [200])
    if not isinstance(statuses, list) or not statuses or not all(map(_is_status, statuses)):
        raise ValueError("config.statuses must be statuses from 200 to 599, without 206 and 304")
    names = read_tokens(config, "varyHeaders")
    query = read_strings(config, "varyQuery")
    if len(names) > _MAX_NAMES or len(query) > _MAX_NAMES:
        raise ValueError(
            f"config must name {_MAX_NAMES} headers and {_MAX_NAMES} parameters at most"
        )
    ttl = read_seconds(config, "ttl", with_zero=True)
    vary = tuple(sorted({name.lower() for name in names}))
    fields = (ttl, sorted(methods), sorted(statuses), vary, sorted(query))
    # What was kept under other rules is not for these.
    digest = hashlib.sha256(repr(fields).encode()).hexdigest()[:16]
    return Caching(
        f"{policy_id} {digest}", ttl, methods, frozenset(statuses), vary, frozenset(query)
    )


def _is_status(value: object) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number and 200 <= int(str(value)) <= 599 and value not in (206, 304)


POLICY = PolicyType(
    "caching",
    Phase.CACHING,
    parse_caching,
    '`{"ttl": duration, "methods"?: ["GET", "HEAD"], "statuses"?: [] = [200], "varyHeaders"?: [], '
    '"varyQuery"?: [] = all}`; `ttl` is for responses that say nothing of their own lifetime',
    statuses=(504,),
    is_single=True,
    is_shared=False,  # what is kept belongs to its id
    is_public=always_public,
    states=(ResponseCache,),
)
