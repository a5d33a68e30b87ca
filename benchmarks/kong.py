"""A Kong without a database and 10,000 APIs with two policies each.

The document, a tick, one change, one refusal.

Ours: sessions as the running process makes them (health, look, plan, document, POST, confirmation),
over loopback to a node in another process. CPU is that of this process, all threads. Peer of the
document: the plain way to the same text, all entities as one tree of dicts and one dump of it.

    python -m benchmarks.kong [--apis 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Lane, show
from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.node.edit import PendingChange, apply_changes
from stoa_gitops.adapters.kong.node.snapshot import ForeignEntities, NodeSnapshot, document_text
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.foundation.gc_pause import gc_paused
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.model.resources import DesiredState, PlanHints, Resource, SourceRef
from stoa_gitops.reconcile.cycle import apply_plan, prepare_plan
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.session import Assignment, GatewaySession, SessionContext
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from stoa_gitops.store.sqlite import SqliteStore

TICKS = 20
CHANGES = 10
LIMIT = 10 * 1024 * 1024
PLUGINS = frozenset({"acl", "cors", "key-auth", "rate-limiting", "request-transformer"})


def api(number: int, version: int = 1) -> dict[str, Any]:
    return {
        "displayName": f"API {number}",
        "version": "1.2.0",
        "active": True,
        "backend": {
            "url": f"https://b{number}.internal/v{version}",
            "timeout": "30s",
            "retries": 0,
        },
        "routes": [
            {
                "path": f"/apis/team-{number % 50}/orders-{number:05}",
                "methods": [],
                "hosts": [],
                "stripPath": True,
            }
        ],
        "plans": [],
    }


def resources(count: int) -> dict[Key, Resource]:
    found: dict[Key, Resource] = {}
    for number in range(count):
        tenant, name = f"team-{number % 50}", f"orders-{number:05}"
        key, source = Key("api", tenant, name), SourceRef(f"tenants/{tenant}/apis/{name}/api.yaml")
        configs = {
            "rate_limit": {"requests": 100, "window": "1m", "by": "consumer"},
            "cors": {"origins": ["https://app.example"], "credentials": False},
        }
        for policy_type, config in configs.items():
            policy = Key("policy", tenant, f"{name}.{policy_type}")
            spec = {"api": name, "type": policy_type, "priority": 100, "config": config}
            requires = (f"policy:{policy_type}",)
            hints = PlanHints(requires=requires, guarded_api=key)
            found[policy] = Resource(policy, Spec.of(spec), source, hints)
        depends = tuple(Key("policy", tenant, f"{name}.{t}") for t in sorted(configs))
        hints = PlanHints(requires=("api",), guarded_api=key, depends_on=depends)
        found[key] = Resource(key, Spec.of(api(number)), source, hints)
    return found


def make_document(wanted: dict[Key, Resource]) -> str:
    """Make the text of a first load."""
    node = NodeInfo((3, 9, 1), PLUGINS, options=Options())
    wishes = [
        PendingChange(key, ObjectSpec(key, key.identifier("default"), "default", one.spec.value))
        for key, one in wanted.items()
    ]
    with gc_paused():
        edit = apply_changes(NodeSnapshot(node, "default", {}, ForeignEntities({})), wishes)
    return document_text(edit.groups.values(), edit.foreign)


def plain_document(text: str) -> str:
    """The peer's part that nobody is spared: the whole tree, and one dump of it with sorted
    keys.
    """
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@dataclass
class World:
    """A session over a node, and what it is asked for."""

    session: GatewaySession
    base_url: str
    wanted: dict[Key, Resource]

    def assignment(self) -> Assignment:
        instance = self.session.driver.connection.instance
        desired = DesiredState("kong", "default", "main@1", self.wanted)
        return Assignment(instance, desired)

    async def counts(self) -> dict[str, int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            found: dict[str, int] = (await client.get(f"{self.base_url}/counts")).json()
            return found

    async def cycle(self) -> tuple[float, int]:
        """One pass; returns CPU seconds of ours and how many changes were not applied."""
        began = time.process_time()
        prepared = await prepare_plan(self.session, self.assignment())
        missed = 0
        if prepared.has_work:
            report = await apply_plan(self.session, prepared, digest="-")
            missed = sum(outcome.status is not Status.APPLIED for outcome in report.outcomes)
        if not prepared.plan.complete:
            raise RuntimeError(prepared.plan.error)
        return time.process_time() - began, missed


@asynccontextmanager
async def world(wanted: dict[Key, Resource], cursed: str = "") -> AsyncIterator[World]:
    with Apart(cursed) as base_url, tempfile.TemporaryDirectory() as folder:
        instance = GatewayInstance(
            "kong", "kong", "prod", base_url, SourceRef("gateways/kong.yaml")
        )
        link = Connection(instance, base_url, "default")
        driver = Driver(info_for("kong"), link, clock=lambda: datetime.now(UTC))
        store = await SqliteStore.open(Path(folder))
        context = SessionContext(
            store,
            SecretResolver(SecretPlaces(), {}),
            lambda: datetime.now(UTC),
            Principal("benchmark", PrincipalKind.LOCAL_USER),
        )
        try:
            yield World(GatewaySession(driver, context, PlanCache()), base_url, wanted)
        finally:
            await driver.aclose()
            await store.close()


class Apart:
    """A node in a process of its own, as a context manager that gives its address."""

    def __init__(self, cursed: str) -> None:
        command = [sys.executable, "-m", "benchmarks.kong_node", "0", cursed]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def documents(wanted: dict[Key, Resource]) -> None:
    ours, peer = Lane("ours, desired to text"), Lane("one tree, one dump (no mapping)")
    text = ""
    for _ in range(3):
        began = time.process_time()
        text = make_document(wanted)
        ours.seconds.append(time.process_time() - began)
        began = time.process_time()
        peer.errors += plain_document(text) == ""
        peer.seconds.append(time.process_time() - began)
    body = len(json.dumps({"config": text}))
    show("Document of 10,000 APIs with two policies each, CPU", [ours, peer], "<= 2 s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"  text {len(text) / 2**20:.2f} MiB, body {body / 2**20:.2f} MiB "
        f"(to reach: <= 10 MB, {LIMIT / 2**20:.0f} MiB is Kong's limit)"
    )
    print(
        f"  peak memory of the process so far {peak:.0f} MiB (to reach: <= 300 MiB)\n", flush=True
    )


async def live(wanted: dict[Key, Resource]) -> None:
    async with world(wanted) as one:
        first, missed = await one.cycle()
        print(f"First load: {first:.2f} s CPU, {await one.counts()}, not applied {missed}")
        await one.cycle()
        ticks = Lane("tick without changes")
        await one.counts()
        for _ in range(TICKS):
            seconds, missed = await one.cycle()
            ticks.seconds.append(seconds)
            ticks.errors += missed
        counts = await one.counts()
        ticks.errors += counts["posts"]
        show(
            f"No-change tick, CPU, {counts['gets'] / TICKS:.0f} GET each", [ticks], "1 GET, <= 5 ms"
        )
        changes = Lane("one API changed")
        posts = 0
        for number in range(CHANGES):
            key = next(
                k for k in one.wanted if k.kind == "api" and k.name.endswith(f"{number * 7:05}")
            )
            changed = replace(one.wanted[key], spec=Spec.of(api(number * 7, version=2)))
            one.wanted = {**one.wanted, key: changed}
            seconds, missed = await one.cycle()
            changes.seconds.append(seconds)
            posts += (await one.counts())["posts"]
            changes.errors += missed
        show(
            f"One API of 10,000 changed, CPU, {posts / CHANGES:.1f} POST each",
            [changes],
            "one POST, <= 0.5 s",
        )


async def refused(wanted: dict[Key, Resource], places: Iterator[int]) -> None:
    print("One API refused without a word among 10,000 (to reach: <= 16 POSTs, 9,999 live)")
    names = [key for key in wanted if key.kind == "api"]
    for place in places:
        key = names[place]
        async with world(wanted, f"{key.tenant}.{key.name}") as one:
            seconds, missed = await one.cycle()
            counts = await one.counts()
        print(
            f"  at {place:>5}: {counts['posts']} POSTs, {counts['services']} live, "
            f"{missed} changes not applied, {seconds:.1f} s CPU",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--apis", type=int, default=10_000)
    count = parser.parse_args(sys.argv[2:] if sys.argv[0].endswith("__main__.py") else None).apis
    wanted = resources(count)
    documents(wanted)
    asyncio.run(live(wanted))
    asyncio.run(refused(wanted, iter([0, count // 3, count - 1])))


if __name__ == "__main__":
    main()
