"""Named moments at which a process is killed, and a command line that dies at one of them.

    python -m tests.crash.points POINT run --once …

Nothing of this is in the program: the child wraps one function of it and dies there by SIGKILL.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """`target` is `module:path.to.function`, `nth` counts its calls.

    `settings` are module attributes to set first: (module, name, value).
    """

    target: str
    is_after: bool = True
    nth: int = 1
    settings: tuple[tuple[str, str, int | str], ...] = ()


def before(target: str, nth: int = 1, *settings: tuple[str, str, int | str]) -> Point:
    return Point(target, is_after=False, nth=nth, settings=settings)


def after(target: str, nth: int = 1, *settings: tuple[str, str, int | str]) -> Point:
    return Point(target, nth=nth, settings=settings)


STORE = "stoa_gitops.store.sqlite.blocking_store:BlockingStore"
CLIENT = "stoa_gitops.adapters.stoa.client:StoaClient"
DRIVER = "stoa_gitops.drivers.driver:Driver"
# As with a gateway that takes one object a call.
SINGLY = ("stoa_gitops.adapters.stoa.adapter", "BATCH", "none")
FLUSH_OFTEN = ("stoa_gitops.reconcile.recorder", "FLUSH_EVERY", 2)

POINTS = {
    "store-opened": after(f"{STORE}.open"),
    "runtime-file-half-written": before("pathlib:Path.replace"),
    "catalog-read": after("stoa_gitops.catalog.reader:Reader.read"),
    "last-good-half-written": before("pathlib:Path.replace", 2),
    "last-good-written": after("stoa_gitops.state_folder.last_good_file:write_last_good"),
    "health-asked": after(f"{DRIVER}.health"),
    "observed": after(f"{DRIVER}.observe"),
    "planned": after("stoa_gitops.reconcile.session:GatewaySession.guard"),
    "before-the-lease": before(f"{STORE}.acquire_lease"),
    "lease-taken": after(f"{STORE}.acquire_lease"),
    "before-the-batch": before(f"{CLIENT}.change"),
    "after-the-batch": after(f"{CLIENT}.change"),
    "before-the-first-write": before(f"{CLIENT}.put", 1, SINGLY),
    "after-the-first-write": after(f"{CLIENT}.put", 1, SINGLY),
    "after-the-third-write": after(f"{CLIENT}.put", 3, SINGLY),
    "before-the-first-deletion": before(f"{CLIENT}.delete", 1, SINGLY),
    "after-the-first-deletion": after(f"{CLIENT}.delete", 1, SINGLY),
    "written-not-read-back": before("stoa_gitops.drivers.execution:Execution.verify"),
    "read-back-not-recorded": before("stoa_gitops.reconcile.recorder:Recorder.write_outcomes"),
    "half-recorded-before-more-is-written": after(f"{STORE}.record_cycle", 1, FLUSH_OFTEN),
    "inventory-written-not-committed": after("stoa_gitops.store.sqlite.inventory:write_records"),
    "audit-written-not-committed": after("stoa_gitops.store.sqlite.audit:write_entries"),
    "recorded-lease-not-released": after(f"{STORE}.record_cycle"),
    "lease-released": after(f"{STORE}.release_lease"),
    "before-conditions-are-stored": before(f"{STORE}.save_conditions"),
    "conditions-written-not-committed": after(
        "stoa_gitops.store.sqlite.conditions:write_conditions"
    ),
    "while-ending": before("stoa_gitops.reconcile.worker_pool:WorkerPool.stop"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def trapped(function: Callable[..., Any], point: Point) -> Callable[..., Any]:
    """Return the function with a trap before or after its nth call."""
    calls = 0

    def is_due() -> bool:
        nonlocal calls
        calls += 1
        return calls == point.nth

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def slow(*args: Any, **kwargs: Any) -> Any:
            due = is_due()
            if due and not point.is_after:
                die()
            result = await function(*args, **kwargs)
            if due:
                die()
            return result

        return slow

    @functools.wraps(function)
    def quick(*args: Any, **kwargs: Any) -> Any:
        due = is_due()
        if due and not point.is_after:
            die()
        result = function(*args, **kwargs)
        if due:
            die()
        return result

    return quick


def find_target(point: Point) -> tuple[Any, str]:
    """Return the module or class that has the function, and the function's name in it."""
    module, _, path = point.target.partition(":")
    holder: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    return holder, name


def set_trap(point: Point) -> None:
    """Put the trap into the program."""
    holder, name = find_target(point)
    function = inspect.getattr_static(holder, name)
    if isinstance(function, classmethod):
        setattr(holder, name, classmethod(trapped(function.__func__, point)))
    else:
        setattr(holder, name, trapped(function, point))
    for setting, attribute, value in point.settings:
        setattr(importlib.import_module(setting), attribute, value)


REGISTRATIONS = {
    "registration-not-stored": before(f"{STORE}.save_registrations"),
    "registration-stored": after(f"{STORE}.save_registrations"),
    "registration-stored-not-noticed": before(
        "stoa_gitops.daemon.fleet_service:FleetService._log_registration"
    ),
}
"""Moments of a process that a gateway registers with."""


if __name__ == "__main__":
    from stoa_gitops.cli.main import main

    set_trap((POINTS | REGISTRATIONS)[sys.argv[1]])
    sys.exit(main(sys.argv[2:]))
