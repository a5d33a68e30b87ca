"""Whether what was acknowledged is there: outcomes against what was read back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stoa_gitops.adapter_sdk.contract import Rules
from stoa_gitops.adapter_sdk.observation import missing_fields
from stoa_gitops.model.canonical import without
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Observed

HALF_WRITTEN = "HalfWritten"
SHOWN = 5


def judge(outcomes: Sequence[Outcome], seen: Iterable[Observed], rules: Rules) -> list[Outcome]:
    """Return the outcomes, those of objects that did not stick turned into failures."""
    seen = list(seen)
    by_id = {(one.key.kind, one.gateway_id): one for one in seen}
    ours = {one.key: one for one in seen if one.managed}
    return [_judged(outcome, by_id, ours, rules) for outcome in outcomes]


def _judged(
    outcome: Outcome,
    by_id: Mapping[tuple[str, str], Observed],
    ours: Mapping[Key, Observed],
    rules: Rules,
) -> Outcome:
    change = outcome.change
    if outcome.status is not Status.APPLIED or change.key.kind not in (API, POLICY, APPLICATION):
        return outcome
    # By key where the id is another one now: an object of several pieces that lost or kept some.
    held = by_id.get((change.key.kind, outcome.gateway_id)) or ours.get(change.key)
    words = _complaint(change, held, rules)
    if words is None:
        return outcome
    return replace(outcome, status=Status.FAILED, reason=HALF_WRITTEN, message=words)


def _complaint(change: Change, held: Observed | None, rules: Rules) -> str | None:
    if change.action is Action.DELETE:
        return None if held is None else "the gateway acknowledged the deletion and still has it"
    if held is None or change.resource is None:
        return "the gateway acknowledged the write and does not have it"
    ignored = change.resource.hints.ignore_fields
    wanted = without(rules.held(change.key.kind, change.resource.spec.value), ignored)
    places = missing_fields(wanted, without(held.spec.value, ignored))
    if not places:
        return None
    shown = ", ".join(places[:SHOWN]) + (" and more" if len(places) > SHOWN else "")
    return f"the gateway acknowledged the write and holds something else at {shown}"
