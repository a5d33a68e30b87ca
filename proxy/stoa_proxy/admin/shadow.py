"""What a gateway in mode `shadow` has learned, below `/admin/shadow`.

The status has the fields of STOA gateway 0.9.25 (`mode/shadow.rs`), which learns nothing; what it
calls a UAC is a proposal here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final

from stoa_proxy.admin.json_body import Body, read_json
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.errors import BodyRefused, RequestRefused
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.http.targets import read_target
from stoa_proxy.shadow.learner import Learner, Observation
from stoa_proxy.shadow.observing import CREDENTIALS, make_observation
from stoa_proxy.shadow.proposals import Proposal, api_names, propose

NAME: Final = "shadow"
_HOST = re.compile(r"[a-z0-9_.-]{1,253}")
_JSON = "application/json"
_YAML = "application/yaml"
_FIELDS = (
    "host", "method", "path", "status", "content_type", "response_content_type", "credential",
)  # fmt: skip


class ShadowAdmin:
    """Shows and takes what is learned; `save` is told of proposals that somebody asked for.

    An API is proposed from `least` requests on.
    """

    def __init__(self, learner: Learner, tenant: str, backend: str | None, least: int) -> None:
        self._learner = learner
        self._tenant = tenant
        self._backend = backend
        self.least = least
        self.saved = 0
        self.save: Callable[[Iterable[Proposal]], None] = _nowhere

    def proposals(self) -> list[Proposal]:
        """Return a proposal for each host that was seen often enough, sorted by name."""
        hosts = self._learner.hosts
        return [
            propose(name, host, hosts[host], self._tenant, self._backend)
            for host, name in sorted(api_names(hosts).items(), key=itemgetter(1))
            if hosts[host].requests >= self.least
        ]

    def handle(self, head: RequestHead, parts: Sequence[str], body: bytes) -> Respond:
        """Return the response to an authorized request; `parts` are those behind `shadow`."""
        reads = head.method in ("GET", "HEAD")
        match tuple(parts), head.method:
            case (("status",), _) if reads:
                return _json(200, self._status())
            case ("generate",), "POST":
                return self._generate()
            case ("observations",), "POST":
                return self._observe(head, body)
            case (("proposals",), _) if reads:
                return _json(200, [_summary(one) for one in self.proposals()])
            case (("proposals", name, "openapi.json"), _) if reads:
                return self._show(name, _JSON, lambda one: one.openapi)
            case (("proposals", name, "api.yaml"), _) if reads:
                return self._show(name, _YAML, lambda one: one.document)
            case ("proposals", name), "DELETE":
                return self._forget(name)
        return problem(404, "Not found", "No such path or method below /admin/shadow.")

    def _status(self) -> dict[str, object]:
        hosts = self._learner.hosts
        ready = sorted(host for host in hosts if hosts[host].requests >= self.least)
        return {
            "transactions_captured": self._learner.observed,
            "patterns_detected": self._learner.places,
            "uacs_generated": self.saved,
            "min_requests_threshold": self.least,
            "ready_for_generation": bool(ready),
            "ignored": self._learner.ignored,
            "hosts": {host: hosts[host].requests for host in sorted(hosts)},
        }

    def _generate(self) -> Respond:
        proposals = self.proposals()
        if not proposals:
            return _json(200, {"status": "insufficient_data"})
        try:
            self.save(proposals)
        except OSError as error:
            return problem(500, "Not saved", error.strerror or "The state folder is not writable.")
        self.saved = len(proposals)
        names = [one.name for one in proposals]
        return _json(200, {"status": "generated", "api_id": names[0], "proposals": names})

    def _show(self, name: str, content_type: str, text: Callable[[Proposal], str]) -> Respond:
        for one in self.proposals():
            if one.name == name:
                return Respond(200, (("Content-Type", content_type),), text(one).encode())
        return problem(404, "Not found", "There is no proposal of this name.")

    def _forget(self, name: str) -> Respond:
        for host, known in api_names(self._learner.hosts).items():
            if known == name:
                self._learner.forget(host)
                return Respond(204)
        return problem(404, "Not found", "Nothing was learned of this name.")

    def _observe(self, head: RequestHead, raw: bytes) -> Respond:
        """Learn from requests that were described, such as lines of an access log."""
        try:
            body = read_json(head.value("content-type") or "", raw)
            seen = [_parse(item) for item in body.bodies("observations")]
        except BodyRefused as refused:
            text = ("Content-Type", "text/plain; charset=utf-8")
            return Respond(refused.status, (text,), refused.text.encode())
        learned = sum(one is not None and self._learner.note(one) for one in seen)
        return _json(200, {"observed": learned, "ignored": len(seen) - learned})


def _parse(item: Body) -> Observation | None:
    unknown = item.check_fields(_FIELDS)
    if unknown:
        raise BodyRefused(422, "; ".join(unknown))
    status = item.integer("status", 0)
    try:
        path = read_target(item.text("path"))
    except RequestRefused:
        return None
    credential = item.text("credential", "")
    host = item.text("host").lower().partition(":")[0]
    if not _HOST.fullmatch(host):
        return None
    return make_observation(
        host,
        item.text("method"),
        path,
        request_type=item.text("content_type", ""),
        response_type=item.text("response_content_type", ""),
        credential=credential if credential in CREDENTIALS else "",
        status=status if 100 <= status <= 599 else None,
    )


def _summary(proposal: Proposal) -> dict[str, object]:
    return {
        "name": proposal.name, "host": proposal.host, "requests": proposal.requests,
        "endpoints": proposal.endpoints, "rare": proposal.rare,
    }  # fmt: skip


def _json(status: int, body: object) -> Respond:
    content = json.dumps(body, separators=(",", ":")).encode()
    return Respond(status, (("Content-Type", _JSON),), content)


def _nowhere(proposals: Iterable[Proposal]) -> None:
    """Keep nothing: there is no folder."""
