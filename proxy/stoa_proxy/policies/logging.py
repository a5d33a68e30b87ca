"""`logging`: one line of JSON for each request, to the gateway's streams and to URLs."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from stoa_proxy.core.access_logs import STREAMS, AccessLogs, Place
from stoa_proxy.core.match import parameter_name
from stoa_proxy.core.policy import (
    LogEnd,
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    RepeatLog,
    RequestEnd,
)
from stoa_proxy.foundation.timestamps import THREE_DIGITS, Timestamps
from stoa_proxy.policies.parsing import check_keys, read_bool, read_strings

# A service behind a container collects it, and the process's results are on the other stream.
_DEFAULT_SINKS: Final = ("stderr",)
_MAX_SINKS: Final = 8
_LONGEST_TEXT: Final = 2048
_REDACTED: Final = "[redacted]"
_LOGGED: Final = frozenset({"host", "referer", "user-agent"})
# What differs between requests of which these headers are equal: with their targets, and with their
# ends, as it is formatted there.
_OF_TARGETS: Final = ("method", "path", "query")
_AT_THE_END: Final = {"time": '"%%b"', "status": "%%d", "seconds": "%%d.%%b%%b"}
# Names of parameters that hold credentials wherever they stand.
_CREDENTIALS: Final = re.compile(
    r"key|token|secret|passw|credential|signature|session|^code$|^sig$|^auth", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Logging(Policy):
    """Logs requests that its API got, whatever became of them.

    `redact` are names of fields and of query parameters, in lower case; `sample` is the share of
    requests that are logged. Responses of 500 and above always are.
    """

    sinks: tuple[str, ...]
    redact: frozenset[str]
    sample: float = 1.0

    def log(self, context: PolicyContext, end: RequestEnd) -> None:
        """Queue a line."""
        is_error = end.status is None or end.status >= 500
        if not is_error and self.sample < 1.0 and _is_left_out(self.sample):
            return
        line = _encode(self._fields(context, end))
        context.states.of(AccessLogs).push(self._places(context), line.encode())

    def _places(self, context: PolicyContext) -> tuple[Place, ...]:
        return tuple((context.route.tenant_id, sink) for sink in self.sinks)

    @property
    def header_names(self) -> frozenset[str]:
        """Those of which a line has the value."""
        return _LOGGED

    def repeat_log(self, context: PolicyContext) -> RepeatLog | None:
        """Return what queues a line like that of a request, whose fixed parts are written once."""
        if not self.redact.isdisjoint(_AT_THE_END):
            return None  # nobody needs lines without them soon
        fields = self._fields(context, RequestEnd(0, 0.0, None))
        varying = {name: None for name in (*_OF_TARGETS, *_AT_THE_END) if name in fields}
        # No text of a client looks like one of these: its quotes are escaped, and `%` is doubled,
        # once for what differs with the target and once for what differs with each end.
        template = _encode(fields | varying).replace("%", "%%%%")
        for name in varying:
            mark = _AT_THE_END.get(name, f"%({name})s")
            template = template.replace(f'"{name}":null', f'"{name}":{mark}', 1)
        hidden, text = _hidden(context), Timestamps(context.clock).text
        places, sample, redact = self._places(context), self.sample, self._redact_query
        push, digits = context.states.of(AccessLogs).push, THREE_DIGITS

        def log(method: str, target: str) -> LogEnd:
            path, _, query = target.partition("?")
            named = {
                "method": _quote(method),
                "path": _quote(path),
                "query": _quote(redact(hidden, query)) if query else '""',
            }
            line = (template % named).encode()

            def end(status: int, seconds: float) -> None:
                if sample < 1.0 and status < 500 and _is_left_out(sample):
                    return
                micros = int(seconds * 1e6 + 0.5)
                millis = micros // 1000
                whole = millis // 1000
                below, last = digits[millis - whole * 1000], digits[micros - millis * 1000]
                push(places, line % (text(), status, whole, below, last))

            return end

        return log

    def _fields(self, context: PolicyContext, end: RequestEnd) -> dict[str, object]:
        head, route, consumer = context.head, context.route, context.consumer
        path, _, query = head.target.partition("?")
        fields: dict[str, object] = {
            "time": context.clock.now().isoformat(timespec="milliseconds"),
            "tenant": route.tenant_id,
            "api": route.name,
            "route": route.id,
            "client": head.client_address,
            "consumer": None if consumer is None else consumer.name,
            "method": head.method,
            "host": _cut(head.value("host")),
            "path": _cut(path),
            "query": _cut(self._redact_query(_hidden(context), query)),
            # None: the client left, or the response broke off.
            "status": end.status,
            "seconds": round(end.seconds, 6),
            "fallback": end.fallback,
            "user_agent": _cut(head.value("user-agent")),
            # The page, without what its address may hold.
            "referer": _cut((head.value("referer") or "").partition("?")[0]) or None,
        }
        return {name: value for name, value in fields.items() if name not in self.redact}

    def _redact_query(self, hidden: frozenset[str], query: str) -> str:
        if not query:
            return ""
        parts = []
        for part in query.split("&"):
            name = parameter_name(part)
            is_secret = name in hidden or name.lower() in self.redact or _CREDENTIALS.search(name)
            parts.append(f"{part.partition('=')[0]}={_REDACTED}" if is_secret else part)
        return "&".join(parts)


def _is_left_out(sample: float) -> bool:
    return random.random() >= sample  # noqa: S311 - no secret


def _hidden(context: PolicyContext) -> frozenset[str]:
    return context.secret_query | context.hidden_query


def _encode(fields: Mapping[str, object]) -> str:
    """Return a line. ASCII alone: no value of a client can end it or reach a terminal."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True) + "\n"


def _quote(text: str) -> str:
    return json.dumps(text[:_LONGEST_TEXT]).replace("%", "%%")


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST_TEXT]


def parse_logging(policy_id: str, config: Mapping[str, object]) -> Logging:
    """Return a Logging for `{sinks, payloads, redact, sample}`. Raises ValueError."""
    check_keys(config, ("sinks", "payloads", "redact", "sample"))
    # Bodies are not logged; the catalog says so before such a policy comes here.
    read_bool(config, "payloads", default=False)
    sinks = read_strings(config, "sinks") or _DEFAULT_SINKS
    if len(sinks) > _MAX_SINKS:
        raise ValueError(f"config.sinks must be {_MAX_SINKS} at most")
    for sink in sinks:
        if sink not in STREAMS and not _is_url(sink):
            raise ValueError(
                f"config.sinks: '{_without_query(sink)}' is none of stdout, stderr and http(s) URLs"
                " without user info"
            )
    sample = config.get("sample", 1)
    if not isinstance(sample, int | float) or isinstance(sample, bool) or not 0 < sample <= 1:
        raise ValueError("config.sample must be a number above 0, at most 1")
    redact = frozenset(name.lower() for name in read_strings(config, "redact"))
    return Logging(tuple(sorted(set(sinks))), redact, float(sample))


def _is_url(sink: str) -> bool:
    try:
        parts = urlsplit(sink)
        is_whole = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
    return is_whole and parts.scheme in ("http", "https") and "@" not in parts.netloc


def _without_query(sink: str) -> str:
    return sink.partition("?")[0].rpartition("@")[2][:100]


def _is_public(config: Mapping[str, object]) -> bool:
    # The query of a URL is where such services take their keys.
    sinks = config.get("sinks", [])
    return isinstance(sinks, list) and not any("?" in str(sink) for sink in sinks)


POLICY = PolicyType(
    "logging",
    Phase.LOGGING,
    parse_logging,
    '`{"sinks"?: ["stdout"\\|"stderr"\\|url] = ["stderr"], "redact"?: [field or query parameter], '
    '"sample"?: 0 < number <= 1, "payloads"?: bool}`; bodies are never logged, credentials in '
    "queries neither",
    is_public=_is_public,
    states=(AccessLogs,),
)
