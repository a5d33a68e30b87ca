"""Writes APIs of which somebody closed a plan: a closed one never opens again under its name.

The PUT of such an API is refused whole (contract gravitee.md R.1 row 2, seen on 4.10.8), so that
the plan is made anew under the next name.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapters.gravitee.entities.ids import GENERATIONS
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.plans import (
    PlanName,
    hrid_of_held,
    next_hrid,
    read_plan_name,
)

_CLOSED: Final = re.compile(r"Invalid status for plan '(.*)'")


async def put_with_open_plans(
    put: Callable[[JsonTree], Awaitable[Response]],
    definition: JsonTree,
    held: Mapping[str, Any] | None,
    info: GatewayInfo,
) -> Response:
    """Put a definition, with other names for plans that were closed; raises RequestRefused."""
    api, ids = str(definition["hrid"]), info.options.ids
    there: dict[PlanName | None, str] = {}
    for plan in (held or {}).get("plans") or ():
        name = read_plan_name(plan)
        hrid = hrid_of_held(plan, name, api, ids) if name is not None else ""
        if hrid:
            there.setdefault(name, hrid)
    plans = [
        {**plan, "hrid": there.get(read_plan_name(plan), plan["hrid"])}
        for plan in definition["plans"]
    ]
    for _ in range(GENERATIONS):
        try:
            return await put({**definition, "plans": plans})
        except RequestRefused as error:
            found = _CLOSED.search(str(error))
            if found is None:
                raise
            refused = error
            live = set(there.values())
            plans = [
                {**plan, "hrid": next_hrid(plan["hrid"])}
                if plan["name"] == found[1] and plan["hrid"] not in live
                else plan
                for plan in plans
            ]
    raise refused
