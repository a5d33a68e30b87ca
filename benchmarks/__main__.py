"""Run every benchmark, or those named: `python -m benchmarks [NAME...]`."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import subprocess
import sys

ALL = (
    "start", "validate_many", "plan_unchanged", "incremental", "edit_to_answer", "proxy_cpu",
    "proxy_swap", "kong", "gravitee", "webmethods", "stoa_limit", "hostile_documents", "idle",
    "remote_catalog", "fleet", "fleet_pull", "fleet_silence", "openapi_conversion",
    "proxy_peers", "proxy_bodies", "proxy_table", "proxy_memory", "authz", "formatting", "workers",
    "proxy_latency", "proxy_usage",
)  # fmt: skip


def run(names: list[str]) -> None:
    """Run one here, or several one after the other, each in a process of its own: what one held
    counts for no other.
    """
    if unknown := sorted(set(names) - set(ALL)):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    if len(names) != 1:
        for name in names or ALL:
            subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)
        return
    del sys.argv[1:]  # a benchmark that takes arguments would take the name for its own
    main = importlib.import_module(f"benchmarks.{names[0]}").main
    if inspect.iscoroutinefunction(main):
        asyncio.run(main())
    else:
        main()


run(sys.argv[1:].copy())
