"""The form in which a table is kept over a restart: lines of JSON, without any credential.

The first line names form and version, the last one has the SHA-256 of all before it, so that half
a file is not taken for a whole one. Of API keys there are hashes, as in memory. A backend's
credential is not kept, nor the config of a policy that may hold one: what needs them is 503 until
it is written again (docs/adr/0020).

A table that a control plane publishes has the same form, with credentials and with a `generation`
in its first line. The line `source` names the published table that a saved one is all of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from stoa_proxy.admin.backend_tls import with_secrets, without_secrets
from stoa_proxy.admin.batch import Parse
from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.checks import View, check_texts
from stoa_proxy.admin.consumers import CREDENTIALS
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.policies import entry_from_body
from stoa_proxy.admin.store import Store, TableSource
from stoa_proxy.core.model import Consumer, PolicyEntry
from stoa_proxy.core.withheld import WITHHELD
from stoa_proxy.errors import BackendRefused, BodyRefused, ObjectRefused, TableUnusable

VERSION: Final = 1
NAME: Final = "stoa_proxy_table"
END: Final = "sha256"
_SOURCE: Final = "source"

Line = Mapping[str, Any]


def serialise(store: Store) -> Iterator[bytes]:
    """Yield the lines of a store's table, as it is at the first of them."""
    lines = _lines(
        store.routes.snapshot(), store.policies.snapshot(), store.consumers.snapshot(), store
    )
    digest = hashlib.sha256()
    for line in lines:
        content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        digest.update(content)
        yield content
    yield json.dumps({END: digest.hexdigest()}).encode() + b"\n"


def _lines(
    routes: Iterator[bytes], policies: Iterator[bytes], consumers: Iterator[bytes], store: Store
) -> Iterator[Line]:
    table, source = store.table, store.source
    yield {NAME: VERSION}
    for content in routes:
        view = json.loads(content)
        route = table.routes[view["id"]]
        bare = without_secrets(route, view)
        source = None if bare != with_secrets(route, view) else source
        yield {"apis": bare}
    for content in policies:
        policy = json.loads(content)
        if not store.policy_types.is_public(policy["policy_type"], policy["config"]):
            policy["config"] = WITHHELD
            source = None
        yield {"policies": policy}
    for content in consumers:
        consumer = json.loads(content)
        yield {"consumers": consumer_body(table.consumers[consumer["id"]], consumer)}
    # Of a table that lacks something the whole has to come again.
    if source is not None and source.is_whole:
        yield {_SOURCE: {"etag": source.etag, "generation": source.generation}}


def consumer_body(consumer: Consumer, view: View) -> View:
    """Return a consumer as the admin API takes it.

    A view has fingerprints only, from which no key could be recognised.
    """
    hashes = {"api_key": iter(consumer.key_hashes), "jwt": iter(consumer.client_hashes)}
    credentials = cast("list[dict[str, str]]", view["credentials"])
    kinds = [one["type"] for one in credentials]
    return {
        **view,
        "credentials": [{"type": kind, CREDENTIALS[kind]: next(hashes[kind])} for kind in kinds],
    }


def parse(content: bytes) -> list[Line]:
    """Return the lines of objects. Raises TableUnusable for what is no whole table of this form."""
    lines = content.splitlines(keepends=True)
    header = _read_line(lines[0]) if lines else {}
    if not content:
        raise TableUnusable("it is empty", is_ours=True)
    if not isinstance(header.get(NAME), int):
        raise TableUnusable("it is no table of this gateway", is_ours=False)
    if header[NAME] != VERSION:
        raise TableUnusable(f"it has version {header[NAME]}, not {VERSION}", is_ours=False)
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    if _read_line(lines[-1]).get(END) != digest:
        raise TableUnusable("it is not whole", is_ours=True)
    return [_read_line(line) for line in lines[1:-1]]


def _read_line(line: bytes) -> Line:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def restore(store: Store, lines: Sequence[Line], parsers: Mapping[str, Parse]) -> list[str]:
    """Store the objects of a table; return what could not be read again.

    A route or a consumer is left out then; a policy goes on to refuse, for without it its API would
    be open. Raises ObjectRefused where the objects contradict each other.
    """
    problems: list[str] = []
    source: TableSource | None = None
    found: dict[str, list[tuple[Any, View]]] = {"apis": [], "policies": [], "consumers": []}
    for line in lines:
        for kind, values in line.items():
            if kind == _SOURCE:
                source = _read_source(values)
                continue
            if kind not in found or not isinstance(values, dict):
                problems.append(f"a line with {kind!r}")
                continue
            item = _parse_object(kind, values, parsers[kind], problems)
            if item is not None:
                found[kind].append(item)
    store.change(
        Changes(
            routes=tuple(found["apis"]),
            policies=tuple(found["policies"]),
            consumers=tuple(found["consumers"]),
        )
    )
    store.source = None if problems else source
    return problems


def _read_source(values: object) -> TableSource | None:
    if not isinstance(values, dict):
        return None
    etag, generation = values.get("etag"), values.get("generation")
    if not isinstance(etag, str) or not isinstance(generation, int):
        return None
    # It is sent in a header.
    if not etag.isascii() or not etag.isprintable():
        return None
    return TableSource(etag, generation)


def _parse_object(
    kind: str, values: dict[str, Any], parse_body: Parse, problems: list[str]
) -> tuple[Any, View] | None:
    body = Body(values)
    is_policy = kind == "policies"
    try:
        if is_policy and values.get("config") == WITHHELD:
            return withheld_policy(values)
        return parse_body(body)
    except (ObjectRefused, BodyRefused, BackendRefused) as error:
        problems.append(f"{kind} {str(values.get('id'))[:80]!r}: {error}")
    if not is_policy:
        return None
    try:
        return withheld_policy(values)
    except ObjectRefused as error:
        raise TableUnusable(f"a policy of it cannot be read: {error}", is_ours=True) from None


def withheld_policy(values: Mapping[str, Any]) -> tuple[PolicyEntry, View]:
    """Return what stands for a policy that cannot be read: it makes its API refuse.

    Raises ObjectRefused without an id and the API that it is for, for then nobody knows which.
    """
    texts = {name: str(values.get(name) or "") for name in ("id", "api_id")}
    errors = check_texts(texts)
    if errors:
        raise ObjectRefused(errors)
    view = {
        "id": texts["id"],
        "name": str(values.get("name") or texts["id"]),
        "policy_type": str(values.get("policy_type") or "unknown"),
        "config": WITHHELD,
        "priority": values["priority"] if _is_integer(values.get("priority")) else 0,
        "api_id": texts["api_id"],
    }
    return entry_from_body(Body(view)), view


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31
