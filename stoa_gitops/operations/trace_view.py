"""What `try` prints as JSON, as pydantic models: the answer of the data plane's `/admin/trace`.

They are the source of the schema; the command prints what the gateway answers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stoa_gitops.operations.output_views import Document, Text


class TracedRequestView(Document):
    """What was asked for."""

    method: Text
    path: Text
    """Without its query, which may hold a credential."""
    host: str
    client_address: Text


class TracedRouteView(Document):
    """The route that the request is for."""

    id: Text
    name: str
    tenant: Text
    api: Text
    path: Text
    hosts: list[Text]
    """Empty for every host."""
    methods: list[Text]
    """Empty for all."""
    headers: dict[str, list[Text]] = Field(default_factory=dict)
    """Those that a request needs, each with one of some values, in lower case."""
    strip_path: bool
    timeout_seconds: float
    retries: int
    backend: Text
    """Its URL without query."""
    fallback: str | None


class CallerView(Document):
    """The consumer that a credential belongs to."""

    id: Text
    name: str
    tenant: Text


class PolicyLabelView(Document):
    """A policy of the API."""

    type: Text
    """`access` checks subscriptions, `either` chooses among several credentials."""
    id: str
    """Empty for one that the gateway adds by itself."""
    name: str
    phase: Text


class TraceStepView(Document):
    """What one policy did."""

    hook: Text
    """request, prepare, preflight, upstream, outcome, upstream request, upstream response, failure,
    response, log."""
    policy: PolicyLabelView
    verdict: Literal[
        "passed", "refused", "answered", "edited", "waited", "available", "unavailable", "noted"
    ]
    status: int | None
    """Of its response, where it has one."""
    detail: str
    milliseconds: float


class TracedUpstreamView(Document):
    """What the backend gets."""

    url: Text
    query: str
    """Without credentials."""
    headers: list[tuple[str, str]]
    """Values of credentials as `***`."""


class TracedCallView(Document):
    """One attempt to call a backend."""

    upstream: Text
    status: int | None
    failure: str | None
    """Why it has no response: unreachable, no-answer, bad-answer, denied, timeout, busy."""
    milliseconds: float


class TracedAnswerView(Document):
    """What the client gets, or would get."""

    status: int
    source: Literal["policy", "gateway", "backend", "fallback", "echo"]
    policy: PolicyLabelView | None
    """The one that answered."""
    headers: list[tuple[str, str]]
    body: str
    body_encoding: Literal["utf-8", "base64"]
    body_cut: bool
    """The body is longer than the 64 KiB that are shown."""


class TraceContextView(Document):
    """The trace that the request belongs to (W3C Trace Context)."""

    trace_id: Text
    recorded: bool
    """Whether its spans go to the collector."""
    continued: bool
    """Whether the request named it, by `traceparent`."""


class TraceView(Document):
    """How the embedded gateway decided one request."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    sent: bool
    """Whether it was carried out, not only explained."""
    request: TracedRequestView
    route: TracedRouteView | None
    consumer: CallerView | None
    steps: list[TraceStepView]
    """In the order in which policies ran."""
    upstream: TracedUpstreamView | None
    calls: list[TracedCallView]
    fallback: str | None
    """Why the fallback was used."""
    answer: TracedAnswerView | None
    """null where it was only explained and would be sent to the backend."""
    trace: TraceContextView | None
    """null while tracing is off: `traceparent` goes on as it came."""
    milliseconds: float
