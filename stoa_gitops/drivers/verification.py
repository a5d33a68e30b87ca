"""Compares acknowledged writes with what the gateway reports afterwards. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from stoa_gitops.adapter_sdk.capabilities import Rules
from stoa_gitops.adapter_sdk.observation import missing_fields
from stoa_gitops.model.canonical import without
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Observed

HALF_WRITTEN = "HalfWritten"

# A message is one line: five paths fit, and the next plan shows all of them.
SHOWN_PATHS = 5


def verify(
    outcomes: Sequence[Outcome], seen: Iterable[Observed], kinds: Collection[str], rules: Rules
) -> list[Outcome]:
    """Return the outcomes; APPLIED becomes FAILED where `seen` does not hold what was written.

    Only outcomes of `kinds`, which are the kinds that were read back, are checked; of two changes
    of one object in a document only the last one.
    """
    seen = list(seen)
    by_id = {(item.key.kind, item.gateway_id): item for item in seen}
    managed = {item.key: item for item in seen if item.managed}
    last = {outcome.change.key: index for index, outcome in enumerate(outcomes)}
    return [
        _verify_one(outcome, by_id, managed, rules)
        if outcome.status is Status.APPLIED
        and outcome.change.key.kind in kinds
        and last[outcome.change.key] == index
        else outcome
        for index, outcome in enumerate(outcomes)
    ]


def _verify_one(
    outcome: Outcome,
    by_id: Mapping[tuple[str, str], Observed],
    managed: Mapping[Key, Observed],
    rules: Rules,
) -> Outcome:
    change = outcome.change
    # By key if the id differs: an object of several pieces that lost or kept some has another one.
    held = by_id.get((change.key.kind, outcome.gateway_id)) or managed.get(change.key)
    message = _difference(change, held, rules)
    if message is None:
        return outcome
    return replace(outcome, status=Status.FAILED, reason=HALF_WRITTEN, message=message)


def _difference(change: Change, held: Observed | None, rules: Rules) -> str | None:
    if change.action is Action.DELETE:
        # Under another key it is what somebody renamed there, and what was written again since.
        is_there = held is not None and held.key == change.key
        return "the gateway acknowledged the deletion and still has it" if is_there else None
    if held is None or change.resource is None:
        return "the gateway acknowledged the write and does not have it"
    ignored = change.resource.hints.ignore_fields
    expected = without(rules.expected(change.key.kind, change.resource.spec.value), ignored)
    paths = missing_fields(expected, without(held.spec.value, ignored))
    if not paths:
        return None
    shown = ", ".join(paths[:SHOWN_PATHS]) + (" and more" if len(paths) > SHOWN_PATHS else "")
    return f"the gateway acknowledged the write and holds something else at {shown}"
