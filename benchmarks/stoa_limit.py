"""1,300 APIs to a STOA gateway that takes 1,000 admin calls in 60 s, in real time."""

from __future__ import annotations

import asyncio
import time

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.stoa.double import AdminLimit, Dialect, StoaDouble
from tests.adapters.stoa.rig import stoa_rig
from tests.contract.rig import TOKEN, api

APIS = 1_300


async def main() -> None:
    limit = AdminLimit()
    double = StoaDouble(Dialect.REAL, TOKEN, limit)
    specs = {Key("api", "acme", f"a{number}"): api(f"a{number}") for number in range(APIS)}
    began = time.monotonic()
    async with stoa_rig(double) as rig:
        outcomes = await rig.converge(specs)
        seconds = time.monotonic() - began
    failed = sum(outcome.status is not Status.APPLIED for outcome in outcomes)
    print(f"{APIS:,} APIs within an admin limit of {limit.calls:,} calls in {limit.window:.0f} s")
    print(
        f"  {seconds:.1f} s, {failed} failed, {limit.refused} calls refused, "
        f"{len(double.routes):,} routes (to reach: <= 90 s, 0 failed)"
    )


if __name__ == "__main__":
    asyncio.run(main())
