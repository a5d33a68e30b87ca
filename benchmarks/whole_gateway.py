"""A whole gateway with many APIs: the first apply, a light cycle, a deep one.

Cycles as the running process makes them (health, look, plan, apply, reading back), over loopback to
the tests' double in another process. CPU is that of this process, all threads.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.counting_node import TOKEN
from benchmarks.figures import Lane, show
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.reconcile.cycle import apply_plan, prepare_plan
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.session import Assignment, GatewaySession, SessionContext
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from stoa_gitops.store.sqlite import SqliteStore

# One in ten cycles is deep, so that this many hold one.
CYCLES = 20
# Two policies each are the documents of benchmarks.kong.
OBJECTS_PER_API = 3


@dataclass(frozen=True)
class Subject:
    """A gateway type that is measured; its double is `benchmarks.<gateway_type>_node`.

    light_requests  how many requests a light cycle may take
    wanted_of       the documents of so many APIs
    """

    gateway_type: str
    light_requests: int
    wanted_of: Callable[[int], dict[Key, Resource]]


@dataclass
class World:
    """A session over a gateway, and what it is asked for."""

    subject: Subject
    session: GatewaySession
    base_url: str
    wanted: dict[Key, Resource]

    async def counts(self) -> dict[str, int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
            answer = await client.get(f"{self.base_url}/counts", headers=headers)
            found: dict[str, int] = answer.json()
            return found

    async def cycle(self) -> tuple[float, float, int]:
        """One pass; returns CPU seconds of ours, seconds, and how many changes were not applied."""
        instance = self.session.driver.connection.instance
        assignment = Assignment(
            instance, DesiredState(instance.name, "default", "main@1", self.wanted)
        )
        began, at = time.process_time(), time.perf_counter()
        prepared = await prepare_plan(self.session, assignment)
        missed = 0
        if prepared.has_work:
            report = await apply_plan(self.session, prepared, digest="-")
            missed = sum(outcome.status is not Status.APPLIED for outcome in report.outcomes)
        if not prepared.plan.complete:
            raise RuntimeError(prepared.plan.error)
        return time.process_time() - began, time.perf_counter() - at, missed


@asynccontextmanager
async def world(subject: Subject, wanted: dict[Key, Resource]) -> AsyncIterator[World]:
    name = subject.gateway_type
    command = [sys.executable, "-m", f"benchmarks.{name}_node"]
    node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert node.stdin is not None
    assert node.stdout is not None
    base_url = f"http://127.0.0.1:{int(node.stdout.readline())}"
    instance = GatewayInstance(
        name, name, "prod", base_url,
        SourceRef(f"gateways/{name}.yaml"), auth=GatewayAuth("bearer"),
    )  # fmt: skip
    link = Connection(instance, instance.base_url, "default", {"token": Secret(TOKEN)})
    driver = Driver(info_for(name), link, clock=lambda: datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder))
        context = SessionContext(
            store,
            SecretResolver(SecretPlaces(), {}),
            lambda: datetime.now(UTC),
            Principal("benchmark", PrincipalKind.LOCAL_USER),
        )
        try:
            yield World(subject, GatewaySession(driver, context, PlanCache()), base_url, wanted)
        finally:
            await driver.aclose()
            await store.close()
            node.stdin.close()
            await asyncio.to_thread(node.wait, 30)


async def run(subject: Subject, count: int) -> None:
    wanted = subject.wanted_of(count)
    async with world(subject, wanted) as one:
        cpu, seconds, missed = await one.cycle()
        print(
            f"First apply of {count} APIs with two policies each: {cpu / count * 1e3:.1f} ms CPU of"
            f" ours per API (to reach: <= 10 ms), {seconds:.0f} s in all, {await one.counts()},"
            f" not applied {missed}",
            flush=True,
        )
        light, deep = Lane("light"), Lane("deep")
        requests = {"light": 0, "deep": 0}
        for _ in range(CYCLES):
            cpu, _, missed = await one.cycle()
            asked = sum((await one.counts()).values())
            lane = deep if asked > subject.light_requests else light
            lane.seconds.append(cpu)
            lane.errors += missed
            requests[lane.name] += asked
        show(
            f"Cycle without changes over {count} APIs, CPU, "
            f"{requests['light'] / len(light.seconds):.1f} requests",
            [light],
            f"<= {subject.light_requests} requests, <= 0.5 s",
        )
        if deep.seconds:
            show(
                f"Each tenth one, CPU, {requests['deep'] / len(deep.seconds):.0f} requests",
                [deep],
                "its cost",
            )
    assert sum(key.kind == API for key in wanted) * OBJECTS_PER_API == len(wanted)


def main(subject: Subject) -> None:
    """Measure a gateway type, with `--apis` of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--apis", type=int, default=1_000)
    arguments = sys.argv[2:] if sys.argv[0].endswith("__main__.py") else None
    asyncio.run(run(subject, parser.parse_args(arguments).apis))
