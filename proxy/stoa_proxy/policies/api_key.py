"""`api_key`: who is calling, by a key in one header or one query parameter."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.core.match import parameter_name
from stoa_proxy.core.model import Consumer
from stoa_proxy.core.problems import problem
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.policies.parsing import check_keys, is_token, read_bool


@dataclass(frozen=True, slots=True)
class ApiKey(Policy):
    """Where the key is; `hide` keeps it from the upstream."""

    place: str = "header"
    name: str = "X-API-Key"
    hide: bool = True

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Identify the consumer: 400 for two keys, 401 for none or an unknown one."""
        self._mark_secret(context)
        keys = self._keys(context)
        if len(keys) > 1:
            # Which of two is meant is a guess, and guesses get past checks.
            return problem(400, "Bad request", f"'{self.name}' is sent more than once.")
        consumer = find_consumer(context.table, keys[0]) if keys and keys[0] else None
        if consumer is None:
            detail = (
                "The API key is not known." if keys else f"An API key in '{self.name}' is needed."
            )
            return problem(
                401, "Unauthorized", detail, [("WWW-Authenticate", 'ApiKey realm="api"')]
            )
        context.consumer = consumer
        return None

    def _mark_secret(self, context: RequestContext) -> None:
        if self.place == "header":
            context.secret_headers |= {self.name.lower()}
            if self.hide:
                context.hidden_headers |= {self.name.lower()}
            return
        context.secret_query |= {self.name}
        if self.hide:
            context.hidden_query |= {self.name}

    def _keys(self, context: RequestContext) -> list[str]:
        if self.place == "header":
            return [value.strip() for value in context.head.values(self.name.lower())]
        parts = (context.path.query or "").split("&")
        found = [part for part in parts if part and parameter_name(part) == self.name]
        return [unquote_plus(one.partition("=")[2], errors="surrogateescape") for one in found]


def find_consumer(table: RoutingTable, key: str) -> Consumer | None:
    """The consumer that a key belongs to."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    owner = table.keys.get(digest)
    consumer = table.consumers.get(owner) if owner is not None else None
    if consumer is None:
        return None
    # The lookup compares digests by hash table; what admits is a comparison in constant time.
    known = [hmac.compare_digest(digest, one) for one in consumer.key_hashes]
    return consumer if any(known) else None


def parse_api_key(policy_id: str, config: Mapping[str, object]) -> ApiKey:
    """An ApiKey from `{in, name, hide}`. Raises ValueError."""
    check_keys(config, ("in", "name", "hide"))
    place = config.get("in", "header")
    if place not in ("header", "query"):
        raise ValueError("config.in must be 'header' or 'query'")
    name = config.get("name", "X-API-Key")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("config.name must be a string that is not blank")
    if place == "header" and not is_token(name):
        raise ValueError(f"config.name '{name}' is not a header name")
    return ApiKey(str(place), name, read_bool(config, "hide", default=True))
