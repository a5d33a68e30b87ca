"""Between what stands behind an API and Kong's service, upstream and target. Pure.

What a service has no field for is in its tags: the plans (an API's, enforced per consumer), and what a `retry` or
`circuit_breaker` policy asked for in words that Kong has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity
from stoa_gitops.adapters.kong.entities.tags import (
    INCOMPLETE_TAG,
    entity_name,
    owner_tag,
    parse_pairs,
    tag_values,
    upstream_name,
)
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible, Loss
from stoa_gitops.model.canonical import canonical_duration, duration_ms
from stoa_gitops.model.keys import Key

Tree = dict[str, Any]

STUB: Final = "not-written-yet.invalid"
"""Host of a service whose API is not written yet; it has no routes either."""

RATES: Final[Mapping[str, str]] = {
    "perSecond": "second", "perMinute": "minute", "perDay": "day", "perMonth": "month", "burst": "burst",
}  # fmt: skip

_PORTS: Final = {"http": 80, "https": 443}
_TIMEOUTS: Final = ("connect_timeout", "read_timeout", "write_timeout")
_LONGEST: Final = 2**31 - 2
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~:@!$&'()*+,;=/-]|%[0-9A-Fa-f]{2})*")
_ON_KONG: Final = frozenset({"connect", "timeout"})
_MOST_FAILURES: Final = 255
_LONGEST_PAUSE_MS: Final = 65_535_000


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a backend's URL; `path` is empty for the root."""

    protocol: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The canonical spelling: a port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if _PORTS.get(self.protocol) == self.port else f":{self.port}"
        return f"{self.protocol}://{host}{port}{self.path}"


@lru_cache(maxsize=1024)
def address_of(url: str) -> Address:
    """Take a URL apart; Inexpressible says what Kong's service has no field for."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Inexpressible("the backend's URL cannot be read") from None
    if not host:
        raise Inexpressible(f"Kong has no backend {url} of its own")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise Inexpressible("a service of Kong has a path, and neither query nor fragment")
    if "@" in parts.netloc:
        raise Inexpressible("the backend's URL carries credentials: write `auth` for them")
    if "//" in parts.path or _PATH.fullmatch(parts.path) is None:
        raise Inexpressible(
            "the path of the backend's URL: Kong takes ASCII without empty segments"
        )
    path = "" if parts.path == "/" else parts.path
    return Address(parts.scheme, host, port or _PORTS.get(parts.scheme, 80), path)


def normal_url(url: str) -> str:
    """Return the spelling in which a URL comes back from Kong; one that Kong cannot hold as it is."""
    try:
        return address_of(url).url
    except Inexpressible:
        return url


def backend_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot say of a backend, its credential apart."""
    try:
        if address_of(backend["url"]).protocol not in _PORTS:
            yield Loss("Kong's services are written for http and https only")
    except Inexpressible as error:
        yield Loss(str(error))
    if "fallback" in backend:
        yield Loss("Kong has no other backend for the time when one fails")
    if not 0 < duration_ms(backend["timeout"]) <= _LONGEST:
        yield Loss(f"the timeout {backend['timeout']}: Kong takes 1ms to {_LONGEST}ms")


def plan_losses(plans: list[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield what Kong does not do of plans."""
    names = [plan["name"] for plan in plans if "burst" in plan]
    if names:
        words = f"burst of the plan {', '.join(names)}: Kong's windows have no second measure"
        yield Loss(words, is_partial=True)


def retry_losses(config: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong does not do of a `retry` policy."""
    if frozenset(config["on"]) != _ON_KONG:
        words = f"retry on {', '.join(config['on'])}: Kong tries again when connecting fails or times out"
        yield Loss(words, is_partial=True)
    if config["backoff"] != "100ms":
        yield Loss(f"a backoff of {config['backoff']}: Kong tries again at once", is_partial=True)


def breaker_losses(config: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong does not do of a `circuit_breaker` policy."""
    if config["failures"] > _MOST_FAILURES:
        yield Loss(f"{config['failures']} failures: Kong counts to {_MOST_FAILURES}")
    if not 0 < duration_ms(config["reset"]) <= _LONGEST_PAUSE_MS:
        yield Loss(f"a reset after {config['reset']}: Kong probes each 1ms to 65535s")
    yield Loss(
        f"the window of {config['window']}: Kong counts failures in a row, however far apart they are",
        is_partial=True,
    )


def compile_backend(parts: ApiParts, owner: str) -> list[Entity]:
    """Return the service, and upstream and target where a circuit breaker needs them."""
    breaker = parts.policies.get("circuit_breaker")
    service: Tree = {
        "id": parts.service_id,
        "name": entity_name(parts.key),
        "tags": [owner_tag(owner)],
    }
    address = _put_api(service, parts.api)
    if "retry" in parts.policies:
        _put_retry(service, parts)
    if breaker is None:
        return [Entity.of("services", service)]
    upstream = _upstream(parts.key, breaker, owner)
    out = [Entity.of("upstreams", upstream)]
    if address is not None:
        service["host"] = upstream["name"]
        target = {
            "id": parts.key.identifier(owner, "target|0"),
            "tags": [owner_tag(owner)],
            "target": address.authority,
            "upstream": {"id": upstream["id"]},
        }
        out.append(Entity.of("targets", target))
    return [Entity.of("services", service), *out]


def _put_api(service: Tree, api: Mapping[str, Any] | None) -> Address | None:
    if api is None:
        service |= {"host": STUB, "port": 80}
        service["tags"].append(INCOMPLETE_TAG)
        return None
    backend = api["backend"]
    address = address_of(backend["url"])
    service["host"] = address.host
    service["port"] = address.port
    if address.protocol != "http":
        service["protocol"] = address.protocol
    if address.path:
        service["path"] = address.path
    timeout = duration_ms(backend["timeout"])
    if timeout != 60_000:
        service |= dict.fromkeys(_TIMEOUTS, timeout)
    if backend["retries"] != 5:
        service["retries"] = backend["retries"]
    service["tags"].extend(_plan_tag(plan) for plan in api["plans"])
    return address


def _plan_tag(plan: Mapping[str, Any]) -> str:
    rates = [f" {word}={plan[name]}" for name, word in RATES.items() if name in plan]
    return f"stoa-plan:{plan['name']}{''.join(rates)}"


def _put_retry(service: Tree, parts: ApiParts) -> None:
    config = parts.policies["retry"]
    on = "+".join(map(str, config["on"]))
    own = f" retries={parts.api['backend']['retries']}" if parts.api is not None else ""  # type: ignore[call-overload,index]
    service["tags"].append(
        f"stoa-retry:{config['attempts']} on={on} backoff={config['backoff']}{own}"
    )
    service.pop("retries", None)
    if config["attempts"] != 6:
        service["retries"] = config["attempts"] - 1


def _upstream(key: Key, config: Mapping[str, Any], owner: str) -> Tree:
    """Passive checks open the circuit; a connection each `reset` closes it, whatever `/` would answer."""
    failures, pause = config["failures"], duration_ms(config["reset"]) / 1000
    return {
        "healthchecks": {
            "active": {
                "healthy": {"successes": 1},
                "type": "tcp",
                "unhealthy": {"interval": int(pause) if pause.is_integer() else pause},
            },
            "passive": {
                "unhealthy": dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), failures)
            },
        },
        "id": key.identifier(owner, "upstream"),
        "name": upstream_name(entity_name(key)),
        "tags": [
            owner_tag(owner),
            f"stoa-circuit_breaker:failures={failures} window={config['window']} reset={config['reset']}",
        ],
    }


def read_backend(service: Tree, upstream: Tree | None, targets: list[Tree]) -> dict[str, Any]:
    """Return `url`, `timeout` and `retries` of the backend."""
    protocol = service.get("protocol", "http")
    host, port = str(service.get("host", "")), int(service.get("port", 80))
    # The name of another's upstream stays: behind it there may be more than one backend.
    if upstream is not None and host == upstream.get("name") and read_breaker(upstream):
        host, port = _split(targets[0]["target"], port) if targets else (STUB, port)
    path = service.get("path") or ""
    address = Address(protocol, host.strip("[]").lower(), port, "" if path == "/" else path)
    _, words = parse_pairs(next(tag_values(service, "retry"), ""))
    own = words.get("retries", "")
    return {
        "url": address.url,
        "timeout": canonical_duration(f"{service.get('read_timeout', 60_000)}ms"),
        "retries": int(own) if own.isdecimal() else service.get("retries", 5),
    }


def _split(target: str, port: int) -> tuple[str, int]:
    host, colon, digits = target.rpartition(":")
    return (host, int(digits)) if colon and digits.isdecimal() else (target, port)


def read_plans(service: Tree) -> list[dict[str, Any]]:
    """Return the plans that a service's tags hold."""
    plans = []
    for text in tag_values(service, "plan"):
        name, words = parse_pairs(text)
        rates = {field: int(words[w]) for field, w in RATES.items() if words.get(w, "").isdecimal()}
        plans.append({"name": name, **rates})
    return sorted(plans, key=lambda plan: str(plan["name"]))


def read_retry(service: Tree) -> dict[str, Any] | None:
    """Return the `retry` policy that a service's tags hold."""
    for text in tag_values(service, "retry"):
        attempts, words = parse_pairs(text)
        if attempts.isdecimal() and {"on", "backoff"} <= words.keys():
            on = words["on"].split("+") if words["on"] else []
            return {"attempts": int(attempts), "on": on, "backoff": words["backoff"]}
    return None


def read_breaker(upstream: Tree | None) -> dict[str, Any] | None:
    """Return the `circuit_breaker` policy that an upstream's tags hold."""
    for text in tag_values(upstream or {}, "circuit_breaker"):
        _, words = parse_pairs(f" {text}")
        if words.keys() >= {"failures", "window", "reset"} and words["failures"].isdecimal():
            return {
                "failures": int(words["failures"]),
                "window": words["window"],
                "reset": words["reset"],
            }
    return None
