"""The order in which recorded exchanges belong together: recordings are sorted by name."""

from __future__ import annotations

from typing import Final

SEQUENCES: Final[dict[str, tuple[str, ...]]] = {
    "an API of the Automation API": (
        "auto-put-dryrun-contract-c1-body", "auto-put-contract-c1-body",
        "auto-put-dryrun-create", "auto-put-create", "auto-put-unchanged", "auto-get",
        "v2-plans-of-automation-api",
        "auto-put-update", "auto-list-apis", "auto-patch", "auto-post-apis",
        "auto-unknown-resource", "automation-nope", "automation-unknown-env",
        "automation-unknown-org", "v2-unknown-env", "v2-env-hrid", "put-array", "put-bad-json",
        "put-empty-body", "put-yaml", "automation-get-missing-admin", "auto-delete-started",
        "auto-delete-missing", "auto-get-after-delete",
    ),
    "paths": (
        "path-conflict", "path-conflict-dryrun", "path-conflict-noslash", "path-conflict-sub",
        "path-conflict-parent", "path-conflict-sibling", "path-sibling-prefix",
        "path-dup-in-one-api", "path-normalise", "path-normalise-get",
        "v2-verify-paths-conflict", "v2-verify-paths-ok",
    ),
    "applications": (
        "app-get-missing", "app-put-dryrun", "app-put-create", "app-get", "v1-app-get",
        "app-put-unchanged", "app-put-dup-client-id", "app-put-no-description",
        "app-put-both-settings", "app-put-no-settings", "app-put-no-settings-again",
        "app-delete-no-settings", "app-delete", "app-get-archived", "app-put-after-archive",
        "app-restore", "app-put-after-restore",
    ),
    "subscriptions": (
        "sub-api-put", "app-put-create", "sub-put-create", "v2-sub-get", "v2-sub-keys",
        "sub-put-unchanged", "sub-put-staging-plan", "sub-put-keyless-plan",
        "sub-put-missing-plan", "sub-put-missing-app", "sub-put-missing-api",
        "sub-put-same-app-plan-twice", "sub-put-change-plan", "v2-close",
        "v2-sub-get-closed", "sub-put-closed-via-v2",
    ),
    "ending subscriptions": (
        "sub-api-put", "app-put-create", "sub-put-create", "sub-put-ending",
        "sub-put-ending-past", "sub-put-ending-removed",
    ),
    "deleted subscriptions": (
        "sub-api-put", "app-put-create", "sub-put-create", "sub-delete", "sub-delete-again",
        "sub-put-after-close",
    ),
    "chosen keys": (
        "apikeys-create-K1", "apikeys-unchanged", "apikeys-short", "apikeys-257",
        "apikeys-omitted", "apikeys-empty-list", "apikeys-delete",
    ),
    "import": (
        "crd-dryrun", "crd-get-after-dryrun", "crd-create", "crd-unchanged", "crd-v2-get",
        "crd-no-id", "crd-no-crossid", "crd-no-version", "crd-no-state", "crd-labels-string",
        "crd-unknown-policy", "crd-bad-policy-config", "crd-unknown-field",
        "v2-delete-crd-started-open-plans", "v2-delete-crd-started-closeplans",
    ),
    "single calls": (
        "classic-post-api", "classic-get", "classic-post-name-clash", "classic-post-path-conflict",
        "classic-post-unknown-policy", "classic-post-bad-policy-config",
        "classic-post-no-endpoints", "classic-start-without-plan", "classic-deploy-without-plan",
        "classic-post-plan", "classic-publish-plan", "classic-deploy-label-33",
        "classic-start-again", "classic-deploy", "classic-put-endpoint", "classic-put-ifmatch-bad",
        "classic-post-plan-min", "classic-delete-started", "classic-delete-started-closeplans",
        "classic-stop", "classic-stop-again", "classic-delete-stopped-open-plans",
        "classic-delete-final", "classic-get-deleted",
    ),
    "plans": (
        "plan-security-change", "plan-close", "plan-reopen", "cors-put", "cors-get",
    ),
    "a create that fails": (
        "partial-create-no-state", "partial-create-no-state-get", "partial-create-no-state-v2",
        "partial-create-no-state-plans", "partial-create-retry",
    ),
    "who asks": (
        "auth-none", "auth-automation-none", "csrf-origin", "csrf-referer",
    ),
}  # fmt: skip
"""Exchanges of one double, in the order in which they happened."""

BEFORE: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "paths": (("conf-a", "/conf/", "path-conflict"), ("nest-a", "/nest/sub/", "path-conflict")),
    "chosen keys": (("ak-api", "/ak/", "sub-api-put"),),
}
"""APIs that were there: name and path, and the recorded request that they are made like."""

ABSENT: Final[dict[str, frozenset[str]]] = {
    "4.10.8": frozenset({"chosen keys"}),
    "4.12.12": frozenset(),
}
"""Sequences of which a version has nothing."""

DIFFERENT: Final[dict[str, str]] = {
    "plan-security-change": "its API was an earlier one; its status is compared",
    "classic-get": "it was recorded after everything else",
    "classic-put-endpoint": "the recorded API had been written before",
}
"""Exchanges of which only the status is compared, and why."""
