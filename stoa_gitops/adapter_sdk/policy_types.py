"""Names of the policy types that a catalog can use: one file each in the folder of the schemas."""

from __future__ import annotations

from functools import cache

from stoa_gitops.foundation.package_data import schema_folder


@cache
def policy_types() -> tuple[str, ...]:
    """Return all policy types, sorted; an adapter declares `policy:<type>` for each it supports.

    Raises UsageError for an installation without schemas.
    """
    return tuple(sorted(path.stem for path in (schema_folder() / "policies").glob("*.json")))
