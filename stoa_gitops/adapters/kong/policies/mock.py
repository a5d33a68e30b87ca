"""`mock` as Kong's request-termination plugin on the service. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.losses import text_fault, value_fault
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.losses import Loss

_PLAIN_TEXT: Final = "text/plain; charset=utf-8"
"""Written for a body without a Content-Type, and read as none."""


def _media_type(config: Config) -> str:
    found = [v for name, v in config["headers"].items() if name.lower() == "content-type"]
    return found[0] if found and found[0] else _PLAIN_TEXT


def _write(config: Config, _: NodeInfo) -> JsonTree:
    out = {"status_code": config["status"]}
    if not config["body"]:
        # Kong: "content_type requires a body".
        return out
    return out | {"body": config["body"], "content_type": _media_type(config)}


def _read(config: Config) -> JsonTree:
    kind = config.get("content_type")
    return {
        "status": config.get("status_code", 503),
        "headers": {} if kind in (None, _PLAIN_TEXT) else {"Content-Type": kind},
        "body": config.get("body") or "",
    }


def _stored(config: Config) -> JsonTree:
    kind = _media_type(config) if config["body"] else _PLAIN_TEXT
    headers = {} if kind == _PLAIN_TEXT else {"Content-Type": kind}
    return {"status": config["status"], "headers": headers, "body": config["body"]}


def _losses(config: Config) -> Iterator[Loss]:
    names = sorted(name for name in config["headers"] if name.lower() != "content-type")
    if names:
        yield Loss(f"the headers {', '.join(names)}: Kong sends Content-Type only", is_partial=True)
    for what, text in (("the body", config["body"]), ("the Content-Type", _media_type(config))):
        message = text_fault(text) or ("" if what == "the body" else value_fault(text))
        if message:
            yield Loss(
                f"{what}: {message}", at=("config", "body" if what == "the body" else "headers")
            )
    if config["status"] < 200:
        yield Loss(
            f"the status {config['status']}: it ends no answer (RFC 9110 §15.2)",
            at=("config", "status"),
        )
    if not config["body"]:
        yield Loss("an empty body: Kong answers with a message in JSON then", is_partial=True)


MAPPING: Final = single_plugin(
    "mock",
    "request-termination",
    write=_write,
    read=_read,
    losses=_losses,
    stored=_stored,
    secret_fields=frozenset({"body", "message"}),
)
