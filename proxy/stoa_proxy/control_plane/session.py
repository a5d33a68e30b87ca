"""The task that keeps this gateway registered: registration, heartbeats, the table, the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Final

from stoa_proxy.admin.api import AdminApi, extensions, own_version
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane.client import (
    CALL_SECONDS,
    PREFIX,
    ControlPlaneClient,
    Response,
    read_retry_after,
)
from stoa_proxy.control_plane.gateway_key import GatewayKey
from stoa_proxy.control_plane.heartbeat import Figures
from stoa_proxy.control_plane.membership import Membership, is_final
from stoa_proxy.control_plane.pull import Pull
from stoa_proxy.control_plane.readiness import Readiness
from stoa_proxy.control_plane.registration import Member, make_registration, read_member
from stoa_proxy.control_plane.trouble_log import TroubleLog
from stoa_proxy.control_plane.usage_reports import CountedUsage, UsageReports
from stoa_proxy.control_plane_config import ControlPlaneConfig
from stoa_proxy.engines.complete.upstream.client import Pause
from stoa_proxy.errors import ControlPlaneFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Metrics

_log = logging.getLogger("stoa_proxy.control_plane")

GOODBYE_SECONDS: Final = 1.5
"""How long the end of the process may wait for the control plane; as long again for usage."""

# A beat that takes longer says nothing any more.
_BEAT_SECONDS = 10.0
# How often a refused gateway looks whether another key is in its file.
_KEY_FILE_SECONDS = 30.0
_SPREAD = 0.1


class ControlPlaneSession:
    """One gateway's membership, from `start` (in the loop that serves) to `stop`."""

    def __init__(
        self,
        config: ProxyConfig,
        settings: ControlPlaneConfig,
        admin: AdminApi,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        *,
        pause: Pause,
        jitter: Callable[[], float],
        usage: CountedUsage | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._store = store
        self._clock = clock
        self._pause = pause
        self._key = GatewayKey(settings)
        self._client = ControlPlaneClient(
            settings, self._key, clock, agent=f"stoa_proxy/{own_version()}"
        )
        self._figures = Figures(store, metrics, clock)
        self._membership = Membership(jitter)
        self._beats = TroubleLog(_log, clock, "heartbeat")
        self._pull = Pull(self._client, store, admin.parsers, clock)
        self._reports: UsageReports | None = None
        if usage is not None:
            self._reports = UsageReports(self._client, usage, config.tenant_id, clock)
        self._jitter = jitter
        self.readiness = Readiness(
            self._client, settings.oidc_url, clock, lambda: len(store.routes) > 0
        )
        self._add_metrics(metrics)
        self._registration: Mapping[str, object] = {}
        self._member: Member | None = None
        self._is_registered = False
        self._task: asyncio.Task[None] | None = None

    def _add_metrics(self, metrics: Metrics) -> None:
        metrics.add(
            "gauge",
            "stoa_control_plane_registered",
            "Whether the control plane has taken the registration and has not forgotten it.",
            lambda: int(self._is_registered),
        )
        metrics.add(
            "counter",
            "stoa_route_reload_total",
            "Looks for the table at the control plane.",
            lambda: [({"status": name}, count) for name, count in sorted(self._pull.looks.items())],
        )

    async def start(self, port: int) -> None:
        """Begin; `port` is that of the listener."""
        await self._client.open()
        self._registration = make_registration(
            self._config, self._settings, port, own_version(), extensions(self._store.policy_types)
        )
        if not self._settings.pulls:
            self.readiness.settle()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def leave(self) -> None:
        """End, and say so to the control plane; takes GOODBYE_SECONDS at most."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self._is_registered = False
        if self._member is not None:
            await self._unregister(self._member)

    async def stop(self) -> None:
        """Report what was used once more, after the last request; as long as `leave`, which it is
        to come after."""
        if self._member is not None:
            await self._report_last(self._member)
        await self._client.close()

    async def _unregister(self, member: Member) -> None:
        try:
            path = f"{PREFIX}/{member.id}"
            response = await self._client.call("DELETE", path, seconds=GOODBYE_SECONDS)
            _log.debug("unregistered: %s", response.describe())
        except ControlPlaneFailed as error:
            _log.debug("not unregistered: %s", error)

    async def _report_last(self, member: Member) -> None:
        """Report usage once more: its folder may end with the process. What is left stays there."""
        if self._reports is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._reports.send(member, GOODBYE_SECONDS)

    async def _run(self) -> None:
        while True:
            try:
                self._member = await self._register()
                self._is_registered = True
                await self._attend(self._member)
                _log.warning(
                    "the control plane does not know this gateway any more; it registers again"
                )
                seconds = self._membership.pause_before_another()
            except Exception:  # noqa: BLE001 - the boundary: no bug may end the heartbeats for good
                _log.exception("unexpected error in the session with the control plane")
                seconds = self._membership.note_failure()
            self._is_registered = False
            if seconds:
                await self._pause(seconds)

    async def _register(self) -> Member:
        """Register, however often it takes; for ever where the key is refused."""
        while True:
            at_least = 0.0
            try:
                response = await self._client.call("POST", f"{PREFIX}/register", self._registration)
                at_least = read_retry_after(response.headers) or 0.0
                if is_final(response.status):
                    await self._await_another_key(response)
                    continue
                member = read_member(response, self._settings, self._config.environment)
            except ControlPlaneFailed as error:
                seconds = self._membership.note_failure(at_least)
                _log.warning("registration failed: %s; next try in %.0f s", error, seconds)
                await self._pause(seconds)
                continue
            self._membership.note_registered()
            _log.info("registered name=%r id=%s url=%s", member.name, member.id, self._settings.url)
            return member

    async def _await_another_key(self, response: Response) -> None:
        """Say that the registration is refused; return when another key is in the key's file."""
        reason = (
            f"the key of {self._key.where} is none of the control plane's"
            if response.status == 401
            else f"the key of {self._key.where} is for another environment, or was withdrawn"
        )
        fix = "put another key into the file" if self._key.is_in_file else "correct it and restart"
        _log.error(
            "registration refused with status %d: %s. Will not retry; requests are served from the"
            " table that is here. To register, %s",
            response.status,
            reason,
            fix,
        )
        if not self._key.is_in_file:
            await asyncio.get_running_loop().create_future()
        while not self._key.reload():
            await self._pause(_KEY_FILE_SECONDS)

    async def _attend(self, member: Member) -> None:
        """Beat, and look for the table; return when the control plane has forgotten the member."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._beat(member))]
        if self._settings.pulls:
            self._pull.begin()
            tasks.append(loop.create_task(self._keep_table(member)))
        if self._reports is not None:
            tasks.append(loop.create_task(self._report_usage(self._reports, member)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _beat(self, member: Member) -> None:
        """Send heartbeats; return when the member is known no more."""
        interval = float(self._settings.heartbeat_seconds)
        due = self._clock.monotonic()
        while True:
            if await self._send_beat(member) and self._membership.note_unknown():
                return
            # One that took long is not made up for.
            now = self._clock.monotonic()
            due = max(due + interval, now)
            await self._pause(due - now)

    async def _keep_table(self, member: Member) -> None:
        """Look for the table; return when the member is known no more."""
        early = 0
        while True:
            look = await self._pull.look(member)
            if look.is_unknown and self._membership.note_unknown():
                return
            if look.is_known:
                self._membership.note_known()
            if look.is_settled:
                self.readiness.settle()
            # Never later than the interval, or a change would be late; some sooner, so that
            # gateways that were started together do not ask together.
            seconds = self._settings.reload_seconds * (1 - _SPREAD * self._jitter())
            if look.retry_after is None:
                early = 0
            else:
                # Sooner where it asks for that, and less so each time: there may never be a table.
                seconds = min(seconds, max(1.0, look.retry_after) * 2.0**early)
                early = min(early + 1, 10)
            await self._pause(seconds)

    async def _report_usage(self, reports: UsageReports, member: Member) -> None:
        """Report usage as often as heartbeats are sent, until cancelled."""
        seconds = float(self._settings.heartbeat_seconds)
        while True:
            await reports.send(member, CALL_SECONDS)
            await self._pause(seconds)

    async def _send_beat(self, member: Member) -> bool:
        """Send one heartbeat; True when there is no such gateway."""
        seconds = min(_BEAT_SECONDS, float(self._settings.heartbeat_seconds))
        try:
            response = await self._client.call(
                "POST", f"{PREFIX}/{member.id}/heartbeat", self._figures.read(), seconds=seconds
            )
        except ControlPlaneFailed as error:
            self._beats.failed(str(error))
            return False
        if response.is_success:
            self._membership.note_known()
            self._beats.succeeded()
            _log.debug("heartbeat sent id=%s", member.id)
            return False
        self._beats.failed(response.describe())
        return response.status == 404
