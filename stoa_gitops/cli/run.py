"""`run`: the process that reconciles gateways until it is stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import Namespace
from typing import Self

from stoa_proxy.foundation.descriptors import raise_descriptor_limit

from stoa_gitops.cli import progress, settings_from_env, terminal
from stoa_gitops.cli.catalog_options import path_from_here, source_of, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.daemon import memory_tuning
from stoa_gitops.daemon.listeners import Address
from stoa_gitops.daemon.logging_setup import configure
from stoa_gitops.daemon.lookup_loop import LookupLoop
from stoa_gitops.daemon.process import Process, ProcessOptions
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.frozen_sets import frozen
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import API
from stoa_gitops.model.outcomes import Report, ReportSet, Status
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.operations.reading_child import reading_child
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.report.findings import catalog_text
from stoa_gitops.report.json_output import report_json
from stoa_gitops.report.plan import plan_text
from stoa_gitops.report.recap import report_text


def execute(options: Namespace) -> Exit:
    """Run until a signal, or until every gateway had one cycle with `--once`."""
    memory_tuning.tune_memory()  # before anything is allocated, and threads have arenas
    raise_descriptor_limit()
    configure(debug=options.debug)
    settings_from_env.read_credentials()  # fails before anything is started
    presenter = (
        JsonPresenter() if options.output == "json" else TextPresenter(path_from_here(options))
    )
    process = Process(
        ProcessOptions(
            state=state_folder(options),
            control=Address.parse(options.control_listen, name_of(options, "control_listen")),
            public=Address.parse(options.public_listen, name_of(options, "public_listen"))
            if options.public_listen
            else None,
            gateway=Address.parse(options.gateway_listen, name_of(options, "gateway_listen")),
            environment=options.env or None,
            interval=seconds(options.interval, name_of(options, "interval"))
            if options.interval
            else None,
            poll=seconds(options.poll, name_of(options, "poll")),
            is_once=options.once,
            access=settings_from_env.read_credentials,
            gateway_keys=settings_from_env.read_gateway_keys(),
            data_plane=settings_from_env.read_data_plane_bounds(
                options.workers, name_of(options, "workers")
            ),
            control_bounds=settings_from_env.read_control_bounds(),
        ),
        source_of(options),
        catalog_reader(state_folder(options), reading_child()),
        presenter,
    )
    with presenter, asyncio.Runner(loop_factory=LookupLoop) as runner:
        number = runner.run(process.run())
    # SIGTERM is the normal end of a service, Ctrl-C an interruption by a person.
    if number == signal.SIGINT:
        return Exit.INTERRUPTED
    if options.once and not process.has_converged:
        return Exit.INCOMPLETE
    return Exit.OK


def seconds(text: str, flag: str) -> float:
    """Return the seconds of a duration such as `30s`; UsageError names the flag."""
    try:
        duration = duration_ms(text) / 1000
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    if duration <= 0:
        raise UsageError(f"{flag}: {text!r} is no time to wait")
    return duration


class TextPresenter:
    """Shows plans and recaps of cycles that changed something, or whose problems are new.

    On a terminal a bar shows what the start waits for, from entering it until the process listens.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._style = terminal.style()
        self._last_problems: dict[str, object] = {}
        self._tenants = 0
        self._bar = progress.Bar()
        self._awaited = "Reading the catalog"

    def __enter__(self) -> Self:
        self._bar.begin(self._awaited)
        return self

    def __exit__(self, *_: object) -> None:
        self._awaited = ""
        self._bar.end()

    def catalog(self, catalog: Catalog) -> None:
        """Show findings, or that the catalog is valid."""
        self._tenants = len(catalog.tenants)
        if self._awaited:
            self._awaited = "Bringing gateways up to date"
        self._show(catalog_text(catalog, self._style, prefix=self._prefix))

    def cycle(self, report: Report) -> None:
        """Show plan and recap of a cycle that changed something, or whose problems are new."""
        problems = _problems(report)
        # A problem that stays is shown once, and not with each cycle.
        is_news = problems != self._last_problems.get(report.plan.gateway)
        self._last_problems[report.plan.gateway] = problems
        if not is_news and not report.count(Status.APPLIED):
            return
        plans = PlanSet(report.plan.revision, (report.plan,), self._tenants)
        # What is applied already needs no line that says how to apply it.
        text = plan_text(plans, self._style, with_digest=False)
        if report.outcomes:
            reports = ReportSet(report.plan.revision, plans.digest, (report,))
            text += "\n" + report_text(reports, self._style)
        self._show(text)

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show the addresses and a call to try."""
        lines = [f"Control    {control}"]
        if gateway:
            lines.append(f"Gateway    {gateway}")
            path = _first_route(catalog)
            if path:
                lines.append(f"Try        curl {gateway}{path}")
        lines.append("Waiting for changes; Ctrl-C ends.")
        self._awaited = ""
        self._show("\n" + "\n".join(lines) + "\n")

    def _show(self, text: str) -> None:
        self._bar.end()
        sys.stdout.write(text)
        sys.stdout.flush()
        # The bar comes back below what was just shown.
        if self._awaited:
            self._bar.begin(self._awaited)


class JsonPresenter:
    """One JSON document per cycle that did something."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: each line was flushed."""

    def catalog(self, catalog: Catalog) -> None:
        """Show nothing: findings are in the log and in `validate --output json`."""

    def cycle(self, report: Report) -> None:
        """Print the report as one line."""
        if not report.outcomes and report.is_converged:
            return
        import json

        plans = PlanSet(report.plan.revision, (report.plan,))
        document = json.loads(report_json(ReportSet(plans.revision, plans.digest, (report,))))
        sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
        sys.stdout.flush()

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show nothing: runtime.json of the state folder says it."""


def _problems(report: Report) -> object:
    """Return what is wrong after a cycle, as a value that is equal while nothing new happens."""
    good = (Status.APPLIED, Status.UNCHANGED)
    bad = {(o.change.key, o.status, o.message) for o in report.outcomes if o.status not in good}
    skipped = {(skip.key, skip.message) for skip in report.plan.skipped}
    return frozen(bad), frozen(skipped), report.error, report.plan.holds


def _first_route(catalog: Catalog) -> str:
    """Return the path of an API of the embedded gateway that needs no key, or an empty text."""
    for gateway in catalog.gateways:
        if not gateway.is_embedded:
            continue
        for key, resource in sorted(catalog.desired[gateway.name].resources.items()):
            if key.kind != API:
                continue
            spec = resource.spec.value
            routes = spec.get("routes")
            if not spec.get("plans") and isinstance(routes, list) and routes:
                return str(routes[0]["path"])
    return ""
