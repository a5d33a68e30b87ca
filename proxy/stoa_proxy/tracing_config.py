"""Where spans are sent, and of which requests: `OTEL_*`, as OpenTelemetry specifies them.

Nothing is traced without an endpoint. The variables are those of its sections "Environment Variable
Specification" and "OpenTelemetry Protocol Exporter"; blank ones count as unset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_flag, read_number, read_text
from stoa_proxy.foundation.urls import check_url

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

_DISABLED = "OTEL_SDK_DISABLED"
_EXPORTER = "OTEL_TRACES_EXPORTER"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_SERVICE = "OTEL_SERVICE_NAME"
_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
_SAMPLER = "OTEL_TRACES_SAMPLER"
_SAMPLER_ARG = "OTEL_TRACES_SAMPLER_ARG"
_QUEUE = "OTEL_BSP_MAX_QUEUE_SIZE"
_BATCH = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DELAY = "OTEL_BSP_SCHEDULE_DELAY"

# Name: whether the caller's decision stands, and what else decides; None is the argument's ratio.
_SAMPLERS: Final[Mapping[str, tuple[bool, float | None]]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A line break would begin another header.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """Where spans go, and which.

    `url` takes them by POST with `headers`, which may be credentials, within `timeout` seconds.
    `ratio` of the traces that begin here are recorded; with `is_parent_based` those of callers as
    they decided, without it by the same ratio. At most `max_queue` spans wait; `max_batch` are sent
    at a time, at the latest after `delay` seconds.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    service: str = "stoa-gateway"
    resource: tuple[tuple[str, str], ...] = ()
    is_parent_based: bool = True
    ratio: float = 1.0
    timeout: float = 10.0
    max_queue: int = 2048
    max_batch: int = 512
    delay: float = 5.0


def tracing_from_env(env: Mapping[str, str]) -> TracingConfig | None:
    """Return where spans are sent, None where they are not. Raises ConfigInvalid."""
    url = _endpoint(env)
    exporter = read_text(env, _EXPORTER) or "otlp"
    if url is None or read_flag(env, _DISABLED, default=False) or exporter == "none":
        return None
    if exporter != "otlp":
        raise ConfigInvalid(f"{_EXPORTER} must be otlp or none, not {exporter!r}")
    for name in _PROTOCOLS:
        protocol = read_text(env, name)
        if protocol is not None and not protocol.startswith("http/"):
            raise ConfigInvalid(f"{name} must be http/json: spans are sent over HTTP, as JSON")
    is_parent_based, ratio = _sampler(env)
    resource = dict(_pairs(_RESOURCE, read_text(env, _RESOURCE)))
    service = read_text(env, _SERVICE) or resource.pop("service.name", "stoa-gateway")
    max_queue = _positive(env, _QUEUE, 2048)
    return TracingConfig(
        url,
        _headers(env),
        service,
        tuple(sorted((key, value) for key, value in resource.items() if key != "service.name")),
        is_parent_based,
        ratio,
        timeout=next((n for n in (_positive(env, one, 0) for one in _TIMEOUTS) if n), 10_000)
        / 1000,
        max_queue=max_queue,
        max_batch=min(max_queue, _positive(env, _BATCH, 512)),
        delay=_positive(env, _DELAY, 5_000) / 1000,
    )


def _endpoint(env: Mapping[str, str]) -> str | None:
    url, base = read_text(env, TRACES_ENDPOINT), read_text(env, ENDPOINT)
    if url is not None:
        check_url(TRACES_ENDPOINT, url)
        return url
    if base is None:
        return None
    check_url(ENDPOINT, base)
    return f"{base.rstrip('/')}/v1/traces"


def _sampler(env: Mapping[str, str]) -> tuple[bool, float]:
    name = read_text(env, _SAMPLER) or "parentbased_always_on"
    known = _SAMPLERS.get(name)
    if known is None:
        raise ConfigInvalid(f"{_SAMPLER} must be one of {', '.join(_SAMPLERS)}, not {name!r}")
    is_parent_based, ratio = known
    if ratio is not None:
        return is_parent_based, ratio
    text = read_text(env, _SAMPLER_ARG) or "1"
    if not re.fullmatch(r"[01](\.[0-9]{1,18})?|\.[0-9]{1,18}", text) or float(text) > 1:
        raise ConfigInvalid(f"{_SAMPLER_ARG} must be a number from 0 to 1, not {text!r}")
    return is_parent_based, float(text)


def _headers(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    name = next((one for one in _HEADERS if read_text(env, one)), _HEADERS[-1])
    headers = _pairs(name, read_text(env, name))
    if not all(_TOKEN.fullmatch(key) and not _CONTROL.search(value) for key, value in headers):
        raise ConfigInvalid(f"{name} must be name=value pairs that can be sent as headers")
    return headers


def _pairs(name: str, text: str | None) -> tuple[tuple[str, str], ...]:
    """Return `key=value,key=value`, values percent-decoded. Raises ConfigInvalid without a text."""
    pairs = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            # Not the part itself, which may be a credential.
            raise ConfigInvalid(f"{name} must be name=value pairs, comma-separated")
        pairs.append((key.strip(), unquote(value.strip())))
    return tuple(pairs)


def _positive(env: Mapping[str, str], name: str, default: int) -> int:
    value = read_number(env, name)
    if value is not None and value < 1:
        raise ConfigInvalid(f"{name} must be 1 or more")
    return default if value is None else value
