"""The rate-limiting plugin that `rate_limit`, `quota` and an application's plans share. Pure.

Kong counts per calendar second, minute, hour, day, month or year, refuses a longer window that
allows less than a shorter one, and runs only the most specific plugin of a name: one plugin carries
what both policies ask for, and its tags tell which asked for what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import parse_pairs, tag_values
from stoa_gitops.adapters.kong.entities.versions import NESTED_REDIS
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible, header_loss
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, PluginConfigs
from stoa_gitops.model.losses import Loss

PLUGIN: Final = "rate-limiting"
SECRET_FIELDS: Final = frozenset({"redis", "redis_password", "redis_username"})
TYPES: Final = ("rate_limit", "quota")
UNITS: Final = ("second", "minute", "hour", "day", "month")
"""Kong's windows from short to long; `year` is never written."""

_WINDOWS: Final = {"1s": "second", "1m": "minute", "1h": "hour", "24h": "day"}
_LENGTHS: Final = {unit: window for window, unit in _WINDOWS.items()}
_PERIODS: Final = frozenset({"hour", "day", "month"})
_HEADER: Final = "header:"


def limit_losses(policy_type: str, config: Config) -> Iterator[Loss]:
    """Yield what Kong does not do of either policy."""
    by = config["by"]
    if by == "tenant":
        yield Loss("counting by tenant: Kong counts by consumer, address or header")
    elif by.startswith(_HEADER):
        loss = header_loss(by.removeprefix(_HEADER), "counting by the header")
        if loss is not None:
            yield loss
    if _unit(policy_type, config) is None:
        asked = config.get("window") or config.get("period")
        yield Loss(f"{asked}: Kong counts per second, minute, hour, day, month or year")


def _unit(policy_type: str, config: Config) -> str | None:
    if policy_type == "rate_limit":
        return _WINDOWS.get(config["window"])
    return config["period"] if config["period"] in _PERIODS else None


def limits_of(policies: Mapping[str, Config]) -> dict[str, tuple[str, int]]:
    """Return window and number of each policy that limits.

    Raises Inexpressible where the two do not fit into one plugin.
    """
    asked = {name: policies[name] for name in TYPES if name in policies}
    if len({config["by"] for config in asked.values()}) > 1:
        raise Inexpressible(
            "rate_limit and quota count by different things: Kong counts by one per API"
        )
    limits: dict[str, tuple[str, int]] = {}
    for name, config in asked.items():
        unit = _unit(name, config)
        if unit is None:
            raise Inexpressible(next(limit_losses(name, config)).message)
        limits[name] = unit, config["requests"]
    if len({unit for unit, _ in limits.values()}) < len(limits):
        raise Inexpressible(
            f"rate_limit and quota both count per {limits['quota'][0]}: Kong has one number for it"
        )
    return limits


def lowered_to_fit(windows: Mapping[str, int]) -> dict[str, int]:
    """Return numbers that Kong takes: a shorter window that can never be reached gets the longer's.

    Kong: "The limit for hour(…) cannot be lower than the limit for minute(…)".
    """
    out: dict[str, int] = {}
    least: int | None = None
    for unit in reversed(UNITS):
        if unit in windows:
            least = windows[unit] if least is None else min(least, windows[unit])
            out[unit] = least
    return out


def config_of(windows: Mapping[str, int], by: str, node: NodeInfo) -> JsonTree:
    """Return the config of a rate-limiting plugin."""
    config: JsonTree = lowered_to_fit(windows)
    if by.startswith(_HEADER):
        config |= {"limit_by": "header", "header_name": by.removeprefix(_HEADER)}
    else:
        config["limit_by"] = by
    options = node.options
    config["policy"] = options.counters
    if options.counters == "redis":
        # 3.4 and 3.5 have flat fields `redis_host`, `redis_port` … only.
        if node.version >= NESTED_REDIS:
            config["redis"] = dict(options.redis)
        else:
            config |= {f"redis_{name}": item for name, item in options.redis.items()}
    return config


def compile_limits(_: Config, policies: Mapping[str, Config], node: NodeInfo) -> PluginConfigs:
    """Return the plugin of an API, compiled from all policies that limit it.

    Raises Inexpressible where `rate_limit` and `quota` do not fit into one plugin.
    """
    limits = limits_of(policies)
    by = next(policies[name]["by"] for name in limits)
    config = config_of(dict(limits.values()), by, node)
    # A lone window reads as a rate limit, and a month can be a quota's only: only the rest needs
    # tags, for the document must stay below Kong's 10 MiB at 10,000 APIs.
    is_plain = len(limits) == 1 and ("rate_limit" in limits or limits["quota"][0] == "month")
    tags = [] if is_plain else [f"stoa-part:{name} {u}={n}" for name, (u, n) in limits.items()]
    return {PLUGIN: (config, tags)}


def read_limits(plugin: Mapping[str, Any]) -> dict[str, JsonTree]:
    """Return the policies that a rate-limiting plugin stands for."""
    config = plugin.get("config", {})
    windows = {unit: config[unit] for unit in UNITS if config.get(unit) is not None}
    tagged = _tagged_limits(plugin)
    limits = _from_tagged_limits(windows, tagged) if tagged else _limits_from_windows(windows)
    by = _by(config)
    return {
        name: {"requests": number, "window": _LENGTHS[unit], "by": by}
        if name == "rate_limit"
        else {"requests": number, "period": unit, "by": by}
        for name, (unit, number) in limits.items()
    }


def _by(config: Config) -> str:
    by = config.get("limit_by") or "consumer"
    if by == "header":
        return f"{_HEADER}{config.get('header_name')}"
    return by if by == "ip" else "consumer"


def _tagged_limits(plugin: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for text in tag_values(plugin, "part"):
        name, words = parse_pairs(text)
        for unit, number in words.items():
            allowed = _LENGTHS if name == "rate_limit" else _PERIODS
            if name in TYPES and unit in allowed and number.isdecimal():
                found[name] = unit, int(number)
    return found


def _from_tagged_limits(
    windows: Mapping[str, int], tagged: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    """Return the tagged number where Kong holds what it becomes, else Kong's number."""
    written = lowered_to_fit(dict(tagged.values()))
    return {
        name: (unit, number if windows[unit] == written[unit] else windows[unit])
        for name, (unit, number) in tagged.items()
        if unit in windows
    }


def _limits_from_windows(windows: Mapping[str, int]) -> dict[str, tuple[str, int]]:
    """Read a plugin without our tags: its shortest window is a rate limit, its longest a quota."""
    units = list(windows)
    limits: dict[str, tuple[str, int]] = {}
    if units and units[0] in _LENGTHS:
        limits["rate_limit"] = units[0], windows[units[0]]
        units = units[1:]
    if units and units[-1] in _PERIODS:
        limits["quota"] = units[-1], windows[units[-1]]
    return limits
