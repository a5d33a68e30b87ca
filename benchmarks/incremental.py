"""One file of 10,000 changed: how long until the new desired state and the plan are there, in CPU
time.

Ours: one `FolderSource`, one `Reader`, one plan (`replan`, as the process does it) that saw the
catalog before the edit. Peer: the same from scratch, a source, a reader and a planner that never
saw it. Each run must give the catalog and the plan that the peer gives, with the objects that the
edit touches and no other; anything else counts as an error. Last, 2,000 more edits, and what they
cost in memory.
"""

from __future__ import annotations

import gc
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Lane, show
from benchmarks.gen_catalog import generate
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, Observed
from stoa_gitops.planning import (
    GatewayPlanInput,
    PlanContext,
    PlanInputs,
    PlanState,
    next_expiry,
    plan_gateway,
    replan,
)

APIS = 10_000
TENANTS = 100
RUNS = 15
PEER_RUNS = 2
EDITS = 2_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = GatewayPlanInput("main", "memory")
OPENAPI = "openapi: 3.0.3\ninfo: {{title: Measured, version: '{number}'}}\npaths: {{}}\n"


@dataclass(frozen=True)
class Edit:
    """One sort of edit: the file, what of it is written anew with a number, and how many objects it
    touches.
    """

    name: str
    path: str
    pattern: str
    text: str
    touches: int

    def write(self, root: Path, number: int) -> None:
        target = root / self.path
        before = target.read_text(encoding="utf-8")
        after = re.sub(self.pattern, self.text.format(number=number), before, count=1)
        target.write_text(after, encoding="utf-8")


EACH = APIS // TENANTS
SORTS = (
    Edit(
        "API document",
        "tenants/tenant-3/apis/api-3/api.yaml",
        r"version: \S+",
        'version: "{number}"',
        1,
    ),
    Edit(
        "policy",
        "tenants/tenant-4/policies/standard-limit.yaml",
        r"requests: \d+",
        "requests: 2{number}",
        EACH,
    ),
    Edit(
        "tenant document", "tenants/tenant-5/tenant.yaml", r"team: [^,]+", "team: Team {number}", 0
    ),
    Edit(
        "OpenAPI document",
        "tenants/tenant-6/apis/api-6/openapi.yaml",
        r"version: '[^']*'",
        "version: '{number}'",
        1,
    ),
    Edit(
        "interval of the gateway",
        "gateways/main.yaml",
        r"(  interval: .*\n)?\Z",
        "  interval: 1{number}s\n",
        0,
    ),
)


class Process:
    """What the running process keeps between two looks, and a gateway on which the first one was
    applied.
    """

    def __init__(self, root: Path) -> None:
        self.source, self.reader = FolderSource(root), Reader()
        catalog = self.reader.read(self.source.snapshot())
        resources = catalog.desired["main"].resources
        self.actual = ActualState(
            "main", NOW, tuple(Observed(key, one.spec, str(key)) for key, one in resources.items())
        )
        self.last: Mapping[Key, AppliedRecord] = {
            key: AppliedRecord(key, one.spec, str(key), "main@0") for key, one in resources.items()
        }
        self.state: PlanState | None = None
        self.plan(catalog)

    def steps(self) -> Iterator[tuple[str, object]]:
        """Look, read and plan; yields the name and the result of each step when it is done."""
        tree = self.source.snapshot()
        yield "snapshot", tree
        catalog = self.reader.read(tree)
        yield "read", catalog
        yield "plan", self.plan(catalog)

    def plan(self, catalog: Catalog) -> Plan:
        desired = catalog.desired["main"]
        ends = next_expiry(desired, NOW)
        inputs = PlanInputs(TARGET, desired, self.actual, self.last, PlanContext(NOW), ends)
        self.state = replan(self.state, inputs)
        return self.state.plan

    def plan_from_scratch(self, catalog: Catalog) -> Plan:
        return plan_gateway(
            TARGET, catalog.desired["main"], self.actual, self.last, PlanContext(NOW)
        )


def timed(process: Process, lanes: Mapping[str, Lane], touches: int) -> Catalog:
    """Go through the steps once; CPU time of each goes to its lane, and their sum to `all`."""
    total, results, start = 0.0, {}, time.process_time()
    for name, result in process.steps():
        seconds = time.process_time() - start
        lanes[name].seconds.append(seconds)
        total += seconds
        results[name] = result
        start = time.process_time()
    lanes["all"].seconds.append(total)
    plan, catalog = results["plan"], results["read"]
    assert isinstance(plan, Plan)
    assert isinstance(catalog, Catalog)
    wrong = len(plan.changes) != touches or plan.skipped or catalog.diagnostics
    lanes["all"].errors += bool(wrong)
    return catalog


def lanes_of(prefix: str) -> dict[str, Lane]:
    return {name: Lane(f"{prefix}, {name}") for name in ("all", "snapshot", "read", "plan")}


def measure(root: Path, process: Process, edit: Edit) -> None:
    ours, peer = lanes_of("edit"), Lane("from scratch: all")
    catalog: Catalog | None = None
    for number in range(RUNS):
        edit.write(root, number + 1)
        process.source.touch([str(root / edit.path)])  # as the file's event does in a process
        catalog = timed(process, ours, edit.touches)
    for _ in range(PEER_RUNS):
        start = time.process_time()
        other = Reader().read(FolderSource(root).snapshot())
        plan = process.plan_from_scratch(other)
        peer.seconds.append(time.process_time() - start)
        assert process.state is not None
        peer.errors += other != catalog or plan != process.state.plan
    edit.write(root, 0)
    process.plan(process.reader.read(process.source.snapshot()))
    show(f"{edit.name} changed, 1 file of {APIS}", [*ours.values(), peer], "all <= 100 ms")


def resident() -> float:
    """Return the memory of this process in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def grow(process: Process) -> None:
    """Edit again and again, and print the memory before, on the way and after.

    Trees are made in memory here: walking the folder each time would take the longest, and keeps
    nothing.
    """
    tree = process.source.snapshot()
    files, sizes = dict(tree.files), []
    data = {edit.path: tree.read(edit.path) for edit in SORTS}
    for number in range(EDITS + 1):
        edit = SORTS[number % len(SORTS)]
        text = edit.text.format(number=number)
        data[edit.path] = re.sub(edit.pattern, text, data[edit.path].decode(), count=1).encode()
        files = {**files, edit.path: blob_id(data[edit.path])}
        process.reader.read(FolderTree(files, data, ()))
        if number % (EDITS // 4) == 0:
            gc.collect()
            sizes.append(f"{resident():.1f}")
    print(f"memory over {EDITS} edits, MB: {', '.join(sizes)}   (to reach: no growth)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root, APIS, TENANTS)
        (root / SORTS[3].path).write_text(OPENAPI.format(number=0), encoding="utf-8")
        for edit in SORTS:
            edit.write(root, 0)
        process = Process(root)
        for edit in SORTS:
            measure(root, process, edit)
        grow(process)


if __name__ == "__main__":
    main()
