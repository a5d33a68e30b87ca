"""Shares equal records, keys and specs, so that identity tells what has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Resource


def share_records(
    before: Mapping[Key, AppliedRecord],
    after: Mapping[Key, AppliedRecord],
    resources: Mapping[Key, Resource],
) -> Mapping[Key, AppliedRecord]:
    """Return `after` with the very records of `before` where they are equal.

    Returns `before` itself where all are. A record that is new shares key and spec with the
    resource of its key, where they are equal: 30,000 specs need not be held twice.
    """
    if after is before:
        return before
    shared: dict[Key, AppliedRecord] = {}
    for key, record in after.items():
        old = before.get(key)
        if old is None or (old is not record and old != record):
            old = _with_parts_of(record, resources.get(key))
        shared[old.key] = old
    is_same = len(shared) == len(before) and all(
        record is before.get(key) for key, record in shared.items()
    )
    return before if is_same else shared


def _with_parts_of(record: AppliedRecord, resource: Resource | None) -> AppliedRecord:
    if resource is None:
        return record
    spec = resource.spec if resource.spec == record.spec else record.spec
    return replace(record, key=resource.key, spec=spec)
