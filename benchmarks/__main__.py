"""Run every benchmark, or those named: `python -m benchmarks [NAME...]`."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys

ALL = (
    "start", "validate_many", "plan_unchanged", "incremental", "edit_to_answer", "proxy_cpu",
    "proxy_swap", "kong", "idle",
)  # fmt: skip


def run(names: list[str]) -> None:
    if unknown := sorted(set(names) - set(ALL)):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    del sys.argv[1:]  # a benchmark that takes arguments would take the names for its own
    for name in names or ALL:
        main = importlib.import_module(f"benchmarks.{name}").main
        if inspect.iscoroutinefunction(main):
            asyncio.run(main())
        else:
            main()


run(sys.argv[1:].copy())
