"""`circuit_breaker` as health checks of an upstream in front of the backend. Pure.

Passive checks open the circuit; an active check each `reset` closes it again. That one is a request
of HTTP: Kong's HTTP side sets the interval of checks of type `tcp` to 0 (contract kong.md R.7).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree
from stoa_gitops.adapters.kong.entities.tags import (
    entity_name,
    owner_tag,
    parse_pairs,
    tag_values,
    upstream_name,
)
from stoa_gitops.adapters.kong.mapping.hosts import is_address
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, PluginMapping, ReadContext
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

_MAX_FAILURES: Final = 254
"""The largest number that Kong's balancer takes: its schema takes more, and every worker then
refuses the upstream until the node is restarted (contract kong.md R.7).
"""

_MAX_PAUSE_MS: Final = 65_535_000
"""The largest `interval` that Kong's schema takes, 65535 s."""


_ANSWERS: Final = (
    *range(200, 209), 226, *range(300, 309), *range(400, 419), *range(421, 427), 428, 429, 431, 451,
)  # fmt: skip
"""Registered statuses below 500 (RFC 9110 §16.2): a backend that sends one answers again."""

_FAILURES: Final = (500, 502, 503, 504)
"""Statuses that count as failures. Kong's own list has 429, which says that the backend is well."""


def _compile_upstream(parts: ApiParts, config: Config, owner: str) -> Entity:
    key, failures, pause = parts.key, config["failures"], duration_ms(config["reset"]) / 1000
    tree = {
        "healthchecks": {
            "active": {
                "healthy": {"http_statuses": list(_ANSWERS), "successes": 1},
                # `unhealthy.interval` is how often an unhealthy target is probed.
                "unhealthy": {"interval": int(pause) if pause.is_integer() else pause},
                **_secured(parts),
            },
            "passive": {
                "unhealthy": {
                    **dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), failures),
                    "http_statuses": list(_FAILURES),
                }
            },
        },
        "id": key.identifier(owner, "upstream"),
        "name": upstream_name(entity_name(key)),
        "tags": [
            owner_tag(owner),
            _tag(config),
        ],
    }
    return Entity.of("upstreams", tree)


def _secured(parts: ApiParts) -> JsonTree:
    """Return what makes a probe speak TLS where the backend does.

    The name of the handshake is written, as requests to the backend have it: what the health
    checker takes without it has changed (lua-resty-healthcheck, `run_single_check`: the target's
    name, no name beside a client certificate, the host header). A backend that several names share
    refuses a probe without its name, and the circuit stays open.
    """
    api: Any = parts.api
    if api is None or not api["backend"]["url"].startswith("https:"):
        return {}
    # Requests are sent without verifying the certificate, too (`tls_verify` of the service).
    secured: JsonTree = {"type": "https", "https_verify_certificate": False}
    host = str(urlsplit(api["backend"]["url"]).hostname)
    # RFC 6066 §3: a name, without the dot at its end. Kong's schema refuses addresses, too.
    if not is_address(host):
        secured["https_sni"] = host.removesuffix(".")
    return secured


def _tag(config: Config) -> str:
    """Return the tag with the whole policy: Kong's checks have no window."""
    words = " ".join(f"{name}={config[name]}" for name in ("failures", "window", "reset"))
    return f"stoa-circuit_breaker:{words}"


def _read(context: ReadContext) -> JsonTree | None:
    for text in tag_values(context.entities.upstream or {}, "circuit_breaker"):
        _, words = parse_pairs(f" {text}")
        if words.keys() >= {"failures", "window", "reset"} and words["failures"].isdecimal():
            return {
                "failures": int(words["failures"]),
                "window": words["window"],
                "reset": words["reset"],
            }
    return None


def _losses(config: Config) -> Iterator[Loss]:
    if config["failures"] > _MAX_FAILURES:
        yield Loss(
            f"{config['failures']} failures: Kong counts to {_MAX_FAILURES}",
            at=("config", "failures"),
        )
    if not 0 < duration_ms(config["reset"]) <= _MAX_PAUSE_MS:
        yield Loss(
            f"a reset after {config['reset']}: Kong probes each 1ms to 65535s",
            at=("config", "reset"),
        )
    yield Loss(
        "what closes it: Kong asks the backend for / and takes a status below 500",
        is_partial=True,
    )
    yield Loss(
        f"the window of {config['window']}: Kong counts failures in a row, however far apart they "
        "are",
        is_partial=True,
    )


MAPPING: Final = PluginMapping(
    policy_type="circuit_breaker", read=_read, losses=_losses, compile_upstream=_compile_upstream
)
