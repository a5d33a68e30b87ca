"""Tells which plugins of Kong may keep callers out. Pure.

Names are those of Kong's plugin hub (https://docs.konghq.com/hub/). A plugin that is not among
those that let everybody in may be anybody's own: it is taken for one that keeps some out.
"""

from __future__ import annotations

from typing import Final

_LET_IN: Final = frozenset(
    {
        "acme", "ai-prompt-decorator", "ai-prompt-template", "ai-request-transformer",
        "ai-response-transformer", "aws-lambda", "azure-functions", "canary", "correlation-id",
        "cors", "datadog", "exit-transformer", "file-log", "forward-proxy", "graphql-proxy-cache",
        "grpc-gateway", "grpc-web", "http-log", "jq", "kafka-log", "kafka-upstream", "loggly",
        "mocking", "opentelemetry", "prometheus", "proxy-cache", "proxy-cache-advanced",
        "rate-limiting", "rate-limiting-advanced", "redirect", "request-size-limiting",
        "request-transformer", "request-transformer-advanced", "response-ratelimiting",
        "response-transformer", "response-transformer-advanced", "route-by-header",
        "route-transformer-advanced", "statsd", "statsd-advanced", "syslog", "tcp-log",
        "tls-metadata-headers", "udp-log", "upstream-timeout", "websocket-size-limit", "zipkin",
    }
)  # fmt: skip


def keeps_out(plugin: str) -> bool:
    """Whether a plugin of this name may refuse a request for who sends it, or what it asks."""
    return plugin not in _LET_IN
