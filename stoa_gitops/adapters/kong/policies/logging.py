"""`logging` as Kong's http-log and file-log plugins, one sink of each kind. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import has_owner_tag
from stoa_gitops.adapters.kong.mapping.losses import text_fault
from stoa_gitops.adapters.kong.mapping.plugin_mapping import (
    Config,
    PluginConfigs,
    PluginMapping,
    ReadContext,
)
from stoa_gitops.model.losses import Loss

_PLUGINS: Final = ("http-log", "file-log")
_FIELDS: Final = {"http-log": "http_endpoint", "file-log": "path"}
_STREAMS: Final = {"stdout": "/dev/stdout", "stderr": "/dev/stderr"}
_NAMES: Final = {path: name for name, path in _STREAMS.items()}
_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")
_PRIVATE: Final = re.compile(r"(?<=://)[^/?#@]*@|[?#].*")
_FILE: Final = re.compile(r"/[^\s*&%`]*[^\s*&%`/]")


def _normal_sink(sink: str) -> str:
    """Return the one spelling of a sink: `stdout`, `stderr`, an absolute path, or a URL."""
    path = sink.removeprefix("file:")
    return _NAMES.get(path, path if path.startswith("/") else sink)


def _stored(config: Config) -> JsonTree:
    """Return what Kong holds of a `logging` policy."""
    sinks = sorted({_normal_sink(sink) for sink in config["sinks"]})
    return {"sinks": sinks, "payloads": False, "redact": []}


def _plugin_of(sink: str) -> str | None:
    if _URL.fullmatch(sink):
        return "http-log"
    return "file-log" if sink in _STREAMS or _FILE.fullmatch(sink) else None


def _losses(config: Config) -> Iterator[Loss]:
    """Yield what Kong does not do of a `logging` policy."""
    sinks = _stored(config)["sinks"]
    plugins = [_plugin_of(sink) for sink in sinks]
    if not sinks:
        yield Loss("no sink: Kong writes its own access log for the whole node only")
    for sink, plugin in zip(sinks, plugins, strict=True):
        if message := text_fault(sink):
            yield Loss(f"a sink: {message}", at=("config", "sinks"))
        elif plugin is None:
            yield Loss(
                f"the sink {sink}: write http(s)://…, an absolute path, file:/…, stdout or stderr",
                at=("config", "sinks"),
            )
    for name in _PLUGINS:
        if plugins.count(name) > 1:
            yield Loss(f"more than one sink for {name}: Kong has one of each kind for an API")
    if config["payloads"]:
        yield Loss("payloads: Kong logs no bodies", is_partial=True)
    if "sample" in config:
        yield Loss("sample: Kong logs each request", is_partial=True)
    if config["redact"]:
        yield Loss("redact: Kong logs each field that it knows", is_partial=True)


def _compile(config: Config, _: Mapping[str, Config], node: NodeInfo) -> PluginConfigs:
    out: PluginConfigs = {}
    for sink in config["sinks"]:
        plugin = _plugin_of(sink)
        if plugin is not None:
            out[plugin] = {_FIELDS[plugin]: _STREAMS.get(sink, sink)}, []
    return out


def _read(context: ReadContext) -> JsonTree | None:
    """Return the sinks of the plugins; what others wrote without user, password and query of a URL.

    A policy has no place for a secret.
    """
    plugins = context.entities.plugins
    sinks = [
        _normal_sink(_sink_of(name, plugins[name], context.owner))
        for name in _PLUGINS
        if name in plugins
    ]
    return {"sinks": sorted(sinks), "payloads": False, "redact": []} if sinks else None


def _sink_of(name: str, plugin: Mapping[str, Any], owner: str) -> str:
    sink = str(plugin.get("config", {}).get(_FIELDS[name], ""))
    return sink if has_owner_tag(plugin, owner) else _PRIVATE.sub("", sink)


MAPPING: Final = PluginMapping(
    policy_type="logging",
    plugins=_PLUGINS,
    compile=_compile,
    read=_read,
    losses=_losses,
    stored=_stored,
    secret_fields=frozenset({"http_endpoint", "headers", "custom_fields_by_lua"}),
)
