from __future__ import annotations

from pathlib import Path

from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.reconcile.cycle import cycle, prepare_plan
from stoa_gitops.reconcile.forced import Forced
from tests.unit.reconcile.rig import rig
from tests.unit.reconcile.test_session import converge

ANNA = Principal("anna", PrincipalKind.LOCAL_USER)


async def test_only_the_plan_that_was_seen_is_forced(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await converge(one)
        empty = one.assignment()
        prepared = await prepare_plan(one.session, empty)
        assert prepared.plan.holds
        digest = PlanSet(prepared.plan.revision, (prepared.plan,)).digest
        for forced in (None, Forced("0" * 8, ANNA)):
            result = await cycle(one.session, empty, forced)
            assert result.report.outcomes == ()
        result = await cycle(one.session, empty, Forced(digest[:8].upper(), ANNA))
        assert {outcome.change.action.value for outcome in result.report.outcomes} == {"delete"}
        assert result.report.is_converged
