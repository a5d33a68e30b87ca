"""Changes of a table, sent to another process that has the same objects afterwards."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.batch import parse_batch
from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.replication import changes_of, document_of, table_documents
from stoa_proxy.admin.saved_table import withheld_policy
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.foundation.clock import SystemClock

from tests.pki import Authority
from tests.proxy.conftest import policy_body, route_body

_FOLDER = tempfile.TemporaryDirectory()
CLIENT = Authority(Path(_FOLDER.name)).issue("gateway")
AUTHS: list[Any] = [
    None,
    {"in": "header", "name": "X-Secret", "value": "s1"},
    {"in": "query", "name": "key", "value": None},
    {"type": "basic", "username": "u", "password": "p"},
    {
        "type": "oauth2_client_credentials", "token_url": "https://token.test/t",
        "client_id": "c", "client_secret": "s2", "scopes": ["a"],
    },
]  # fmt: skip


def route(number: int, tenant: int, auth: int, is_balanced: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": f"r{number}", "tenant_id": f"t{tenant}", "hosts": ["a.test"]}
    if AUTHS[auth] is not None:
        fields["backend_auth"] = AUTHS[auth]
    shown = {"server_name": f"n{tenant}.test", "certificate": CLIENT.certificate, "key": CLIENT.key}
    if is_balanced:
        upstreams = [{"url": "https://one.test", "tls": shown}, {"url": "https://two.test"}]
        fields["upstreams"] = upstreams
    elif auth == 1:
        fields["backend_tls"] = {**shown, "ca": None}
    return route_body("https://backend.test", f"/p{number}", **fields)


def consumer(number: int, keys: list[int]) -> dict[str, Any]:
    kinds = [("api_key", "key_sha256"), ("jwt", "client_id_sha256")]
    credentials = [
        {"type": kind, name: hashlib.sha256(f"{key}".encode()).hexdigest()}
        for key in keys
        for kind, name in kinds
    ]
    return {
        "id": f"c{number}", "name": "n", "tenant_id": "t1", "credentials": credentials,
        "subscriptions": [{"api_id": "r1", "plan": "gold"}],
    }  # fmt: skip


POLICIES = [
    ("mock", {"status": 204}),
    ("headers", {"request": {"set": {"X-Key": "secret"}}}),
    ("rate_limit", {"requests": 3, "window": "1m"}),
]
WRITES = st.one_of(
    st.builds(
        lambda *values: {"apis": [route(*values)]},
        st.integers(0, 3), st.integers(0, 1), st.integers(0, 4), st.booleans(),
    ),
    st.builds(
        lambda number, config, api: {
            "policies": [policy_body(f"p{number}", f"r{api}", *POLICIES[config])]
        },
        st.integers(0, 3), st.integers(0, 2), st.integers(0, 3),
    ),
    st.builds(
        lambda number, keys: {"consumers": [consumer(number, keys)]},
        st.integers(0, 3), st.lists(st.integers(0, 5), max_size=2, unique=True),
    ),
    st.builds(
        lambda kind, number: {"delete": {kind: [f"{kind[0].replace('a', 'r')}{number}"]}},
        st.sampled_from(["apis", "policies", "consumers"]), st.integers(0, 3),
    ),
)  # fmt: skip


def parsers_of(store: Store) -> Any:
    return AdminApi(ProxyConfig(), store, SystemClock()).parsers


def assert_equal(one: Store, other: Store) -> None:
    assert [*one.routes.snapshot()] == [*other.routes.snapshot()]
    assert [*one.policies.snapshot()] == [*other.policies.snapshot()]
    assert [*one.consumers.snapshot()] == [*other.consumers.snapshot()]
    # What views leave out: credentials, hashes, and the compiled policies.
    for name in ("routes", "consumers", "apis", "balanced", "keys", "clients"):
        first, second = getattr(one.table, name), getattr(other.table, name)
        assert {key: first[key] for key in first} == {key: second[key] for key in second}, name


def send(changes: Changes, other: Store) -> None:
    document = json.loads(json.dumps(document_of(changes)))
    other.change(changes_of(document, parsers_of(other)))


@given(st.lists(WRITES, max_size=12), st.integers(0, 12))
def test_a_copy_that_got_the_table_and_later_changes_is_equal(
    writes: list[dict[str, Any]], joined: int
) -> None:
    store, early, late = Store(), Store(), Store()
    store.changes = []
    for number, write in enumerate(writes):
        if number == joined:
            for document in table_documents(store):
                late.change(changes_of(json.loads(json.dumps(document)), parsers_of(late)))
        try:
            store.change(parse_batch(Body(write), parsers_of(store)))
        except ObjectRefused:
            assert store.changes == []
            continue
        (changes,) = store.changes
        store.changes = []
        send(changes, early)
        if number >= joined:
            send(changes, late)
    assert_equal(store, early)
    if joined < len(writes):
        assert_equal(store, late)


def test_what_a_draft_changed_is_copied_when_it_is_adopted() -> None:
    store, copy = Store(), Store()
    store.changes = []
    draft = store.copy()
    for number in range(3):
        draft.change(parse_batch(Body({"apis": [route(number, 0, 1, False)]}), parsers_of(store)))
    assert store.changes == []
    store.adopt(draft, None)
    assert len(store.changes) == 3
    for changes in store.changes:
        send(changes, copy)
    assert_equal(store, copy)


def test_a_policy_that_is_not_here_since_a_restart_goes_on_to_refuse() -> None:
    store, copy = Store(), Store()
    store.change(parse_batch(Body({"apis": [route(1, 0, 0, False)]}), parsers_of(store)))
    store.change(Changes(policies=(withheld_policy({"id": "p", "api_id": "r1"}),)))
    for document in table_documents(store):
        copy.change(changes_of(document, parsers_of(copy)))
    assert_equal(store, copy)
