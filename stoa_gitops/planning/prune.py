"""Decides which managed objects that the catalog no longer has are deleted, and which are kept."""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.model.changes import Action, Change, Direction, Skip, SkipReason
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.planning.classification import ClassifiedState


def plan_deletions(
    view: ClassifiedState, skipped: Mapping[Key, Skip]
) -> tuple[list[Change], list[Skip]]:
    """Return deletions, and skips for what is kept.

    APIs come first, because a policy must not be deleted while its API is kept for a reason of
    ours: the API would be open without it.
    """
    gone = sorted(
        (key for key in view.managed if key not in view.wanted),
        key=lambda key: (key.kind != API, key),
    )
    keeping = _apis_that_keep_policies(skipped)
    changes: list[Change] = []
    skips: list[Skip] = []
    for key in gone:
        skip = _reason_to_keep(view, skipped, key) or _kept_with_api(keeping, key)
        if skip is None:
            changes.append(_deletion(view, key))
            continue
        skips.append(skip)
        if key.kind == API:
            keeping[key] = skip
    return changes, skips


def _apis_that_keep_policies(skipped: Mapping[Key, Skip]) -> dict[Key, Skip]:
    """Return the APIs that are skipped, or one of whose policies is: they keep their policies."""
    keeping: dict[Key, Skip] = {}
    for key in sorted(skipped):
        skip = skipped[key]
        owner = key if key.kind == API else key.parent
        if owner is not None and skip.is_failure:
            keeping.setdefault(owner, skip)
    return keeping


def _reason_to_keep(view: ClassifiedState, skipped: Mapping[Key, Skip], key: Key) -> Skip | None:
    """Return why an object is kept whatever happens to its API, None where it is deleted."""
    # Neither a mistake nor its protection keeps a route in a place of another tenant.
    if key in view.ended_places or key.parent in view.ended_places:
        return None
    if view.context.broken.covers(key):
        message = f"not deleted, {view.context.broken.because(key)}"
        return Skip(key, SkipReason.CATALOG_BROKEN, message)
    new = view.renames.get(key)
    if new is not None:
        cause = skipped.get(new)
        if cause is None:
            return None
        message = f"kept until {new} is there, which is skipped: {cause.message}"
        return Skip(key, cause.reason, message)
    record = view.last.get(key)
    if record is not None and record.protected:
        message = (
            "removed from the catalog, but protected; "
            'set gostoa.dev/protect to "false" and apply '
            "that before removing it"
        )
        return Skip(key, SkipReason.PROTECTED, message)
    return None


def _kept_with_api(guarded: Mapping[Key, Skip], key: Key) -> Skip | None:
    owner = key.parent if key.kind == POLICY else None
    cause = guarded.get(owner) if owner else None
    if cause is None:
        return None
    return Skip(key, cause.reason, f"kept with {owner}; {cause.key}: {cause.message}")


def _deletion(view: ClassifiedState, key: Key) -> Change:
    new = view.renames.get(key)
    return Change(
        action=Action.DELETE,
        key=key,
        observed=view.managed[key],
        reason=_deletion_reason(view, key, new),
        direction=Direction.GIT if key in view.last else Direction.UNKNOWN,
        # The old object of a rename serves until the new one does.
        depends_on=(new,) if new else (),
    )


def _deletion_reason(view: ClassifiedState, key: Key, new: Key | None) -> str:
    if ended := view.ended_places.get(key.parent or key):
        return ended
    if new:
        return f"renamed to {new}"
    return f"removed from the catalog{_in_commit(view.revision)}"


def _in_commit(revision: str) -> str:
    """Return ` in 3f2a91c` for `main@3f2a91c`, nothing for a folder without commits."""
    _, sign, commit = revision.rpartition("@")
    return f" in {commit}" if sign else ""
