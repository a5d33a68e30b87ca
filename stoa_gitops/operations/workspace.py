"""Store, secrets and drivers of one command or process, opened together and closed together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from stoa_gitops.adapter_sdk.info import InProcessAdmin
from stoa_gitops.drivers.per_gateway import Drivers
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.principal import Principal
from stoa_gitops.operations.connections import connect
from stoa_gitops.operations.principals import local_principal
from stoa_gitops.operations.store_choice import now, open_store
from stoa_gitops.operations.validate import secret_places
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.session import GatewaySession, SessionContext
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.state_folder import runtime_file
from stoa_gitops.state_folder.runtime_file import Runtime
from stoa_gitops.store import Store


class Workspace:
    """What use cases work with. Make it by `open`.

    running  where the embedded gateway listens: read from the file of the process that runs here,
             unless this is that process
    inside   the admin interface of a gateway where this process has it: the embedded one, and
             those that fetch their configuration
    context  what sessions of this workspace share; its principal is who runs this process

        async with Workspace.open(folder) as workspace:
            session = await workspace.session(catalog, catalog.gateways[0])
            actual = await session.observe_all()
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        principal: Principal | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        # Read at each use: the process may start or end while a command runs.
        self.running: Callable[[], Runtime | None] = lambda: runtime_file.read_runtime(folder)
        self.inside: Callable[[GatewayInstance], InProcessAdmin | None] = lambda _: None
        self._secrets = SecretResolver(secret_places(folder), os.environ)
        self._drivers = Drivers(clock=clock)
        self._plan_caches: dict[str, PlanCache] = {}
        self.context = SessionContext(store, self._secrets, clock, principal or local_principal())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        principal: Principal | None = None,
        clock: Callable[[], datetime] = now,
    ) -> AsyncIterator[Workspace]:
        """Open the store of a state folder, and close everything at the end; raises StoreError.

        `principal` is who acts; the account of this process where none is given.
        """
        async with open_store(folder, clock) as store:
            workspace = cls(folder, store, principal=principal, clock=clock)
            try:
                yield workspace
            finally:
                await workspace._drivers.aclose()

    async def close_gateway(self, name: str) -> None:
        """Close connections and drop caches of a gateway that left the catalog."""
        self._plan_caches.pop(name, None)
        await self._drivers.remove(name)

    async def session(
        self, catalog: Catalog, instance: GatewayInstance, principal: Principal | None = None
    ) -> GatewaySession:
        """Return the session of a gateway; it keeps plans between calls.

        It writes for the `principal`, that of this workspace where none is given.

        Raises GatewayError, and SecretUnresolved for its credentials.
        """
        inside = self.inside(instance)
        connection = connect(instance, catalog.owner, self._secrets, self.running(), inside)
        # Each time: credentials and addresses may have changed. The same ones change nothing.
        await self._drivers.register(connection)
        cache = self._plan_caches.setdefault(instance.name, PlanCache())
        context = replace(self.context, principal=principal) if principal else self.context
        return GatewaySession(self._drivers.for_gateway(instance.name), context, cache)

    def rest(self, name: str) -> None:
        """Drop what the next cycle of a gateway inside this process can make again in no time."""
        self._drivers.rest(name)
        self._plan_caches[name].rest()

    def imports_archives(self, name: str) -> bool:
        """Whether a gateway, which was planned for, takes a plan as one archive."""
        return self._drivers.for_gateway(name).imports_archives

    def apply_session(self, name: str, context: SessionContext) -> GatewaySession:
        """Return a session that writes for the principal of `context`; it caches no plans."""
        return GatewaySession(self._drivers.for_gateway(name), context)
