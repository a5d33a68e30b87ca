"""Between `logging` and Kong's http-log and file-log. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.tags import has_owner_tag
from stoa_gitops.adapters.kong.mapping.losses import Loss

Config = Mapping[str, Any]

PLUGINS: Final = ("http-log", "file-log")
_FIELDS: Final = {"http-log": "http_endpoint", "file-log": "path"}
_STREAMS: Final = {"stdout": "/dev/stdout", "stderr": "/dev/stderr"}
_NAMES: Final = {path: name for name, path in _STREAMS.items()}
_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")
_PRIVATE: Final = re.compile(r"(?<=://)[^/?#@]*@|[?#].*")
_FILE: Final = re.compile(r"/[^\s*&%`]*[^\s*&%`/]")


def normal_sink(sink: str) -> str:
    """Return the one spelling of a sink: `stdout`, `stderr`, an absolute path, or a URL."""
    path = sink.removeprefix("file:")
    return _NAMES.get(path, path if path.startswith("/") else sink)


def held_logging(config: Config) -> dict[str, Any]:
    """Return what Kong holds of a `logging` policy."""
    sinks = sorted({normal_sink(sink) for sink in config["sinks"]})
    return {"sinks": sinks, "payloads": False, "redact": []}


def _plugin_of(sink: str) -> str | None:
    if _URL.fullmatch(sink):
        return "http-log"
    return "file-log" if sink in _STREAMS or _FILE.fullmatch(sink) else None


def logging_losses(config: Config) -> Iterator[Loss]:
    """Yield what Kong does not do of a `logging` policy."""
    sinks = held_logging(config)["sinks"]
    plugins = [_plugin_of(sink) for sink in sinks]
    if not sinks:
        yield Loss("no sink: Kong writes its own access log for the whole node only")
    for sink, plugin in zip(sinks, plugins, strict=True):
        if plugin is None:
            yield Loss(
                f"the sink {sink}: write http(s)://…, an absolute path, file:/…, stdout or stderr"
            )
    for name in PLUGINS:
        if plugins.count(name) > 1:
            yield Loss(f"more than one sink for {name}: Kong has one of each kind for an API")
    if config["payloads"]:
        yield Loss("payloads: Kong logs no bodies", is_partial=True)
    if config["redact"]:
        yield Loss("redact: Kong logs each field that it knows", is_partial=True)


def compile_logging(config: Config) -> dict[str, dict[str, Any]]:
    """Return the config of each plugin that a `logging` policy needs."""
    out: dict[str, dict[str, Any]] = {}
    for sink in config["sinks"]:
        plugin = _plugin_of(sink)
        if plugin is not None:
            out[plugin] = {_FIELDS[plugin]: _STREAMS.get(sink, sink)}
    return out


def read_logging(plugins: Mapping[str, Mapping[str, Any]], owner: str) -> dict[str, Any] | None:
    """Return the `logging` policy that plugins by name stand for; None without one.

    User, password and query of a URL that others wrote are left out: a policy has no place for a secret.
    """
    found = [
        normal_sink(_sink_of(name, plugins[name], owner)) for name in PLUGINS if name in plugins
    ]
    return {"sinks": sorted(found), "payloads": False, "redact": []} if found else None


def _sink_of(name: str, plugin: Mapping[str, Any], owner: str) -> str:
    sink = str(plugin.get("config", {}).get(_FIELDS[name], ""))
    return sink if has_owner_tag(plugin, owner) else _PRIVATE.sub("", sink)
