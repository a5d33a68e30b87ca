"""`retry` as `retries` of the service; what Kong has no field for is in a tag. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApiParts, JsonTree
from stoa_gitops.adapters.kong.entities.tags import parse_pairs, tag_values
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, PluginMapping, ReadContext
from stoa_gitops.model.losses import Loss

# Kong tries the next address when connecting fails or times out, never for a status.
_ON_KONG: Final = frozenset({"connect", "timeout"})


def _write_service(service: JsonTree, config: Config, parts: ApiParts) -> None:
    on = "+".join(map(str, config["on"]))
    # The backend's own `retries` gives way, and is kept to be read back.
    api: Any = parts.api
    own = f" retries={api['backend']['retries']}" if api is not None else ""
    service["tags"].append(
        f"stoa-retry:{config['attempts']} on={on} backoff={config['backoff']}{own}"
    )
    service.pop("retries", None)
    # Attempts count the first try, Kong's retries do not; 5 retries are its default.
    if config["attempts"] != 6:
        service["retries"] = config["attempts"] - 1


def _read(context: ReadContext) -> JsonTree | None:
    for text in tag_values(context.entities.service or {}, "retry"):
        attempts, words = parse_pairs(text)
        if attempts.isdecimal() and {"on", "backoff"} <= words.keys():
            on = words["on"].split("+") if words["on"] else []
            return {"attempts": int(attempts), "on": on, "backoff": words["backoff"]}
    return None


def _restore_backend(service: JsonTree) -> JsonTree:
    _, words = parse_pairs(next(tag_values(service, "retry"), ""))
    own = words.get("retries", "")
    return {"retries": int(own)} if own.isdecimal() else {}


def _stored(config: Config) -> JsonTree:
    return {name: value for name, value in config.items() if name != "methods"}


def _losses(config: Config) -> Iterator[Loss]:
    if "methods" in config:
        message = f"retry of {', '.join(config['methods'])} alone: Kong tries any method again"
        yield Loss(message, is_partial=True)
    if frozenset(config["on"]) != _ON_KONG:
        message = (
            f"retry on {', '.join(config['on'])}: Kong tries again when connecting fails or times "
            "out"
        )
        yield Loss(message, is_partial=True)
    if config["backoff"] != "100ms":
        yield Loss(f"a backoff of {config['backoff']}: Kong tries again at once", is_partial=True)


MAPPING: Final = PluginMapping(
    policy_type="retry",
    read=_read,
    losses=_losses,
    stored=_stored,
    write_service=_write_service,
    restore_backend=_restore_backend,
)
