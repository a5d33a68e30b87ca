"""`circuit_breaker` as health checks of an upstream in front of the backend. Pure.

Passive checks open the circuit; an active check each `reset` closes it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import Entity, JsonTree
from stoa_gitops.adapters.kong.entities.tags import (
    entity_name,
    owner_tag,
    parse_pairs,
    tag_values,
    upstream_name,
)
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, PluginMapping, ReadContext
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss

_MAX_FAILURES: Final = 255
"""The largest `http_failures` that Kong's schema takes."""

_MAX_PAUSE_MS: Final = 65_535_000
"""The largest `interval` that Kong's schema takes, 65535 s."""


def _compile_upstream(key: Key, config: Config, owner: str) -> Entity:
    failures, pause = config["failures"], duration_ms(config["reset"]) / 1000
    tree = {
        "healthchecks": {
            "active": {
                "healthy": {"successes": 1},
                # A connection closes the circuit, whatever `/` of the backend would answer.
                "type": "tcp",
                # `unhealthy.interval` is how often an unhealthy target is probed.
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
            _tag(config),
        ],
    }
    return Entity.of("upstreams", tree)


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
        yield Loss(f"{config['failures']} failures: Kong counts to {_MAX_FAILURES}")
    if not 0 < duration_ms(config["reset"]) <= _MAX_PAUSE_MS:
        yield Loss(f"a reset after {config['reset']}: Kong probes each 1ms to 65535s")
    yield Loss(
        f"the window of {config['window']}: Kong counts failures in a row, however far apart they "
        "are",
        is_partial=True,
    )


MAPPING: Final = PluginMapping(
    policy_type="circuit_breaker", read=_read, losses=_losses, compile_upstream=_compile_upstream
)
