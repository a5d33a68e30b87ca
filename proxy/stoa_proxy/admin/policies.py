"""Parse, validate and serialise policies of the admin API (`POST /admin/policies`).

Everything is checked before anything is stored; a refusal names all reasons at once.
"""

from __future__ import annotations

from sys import intern

from stoa_proxy.admin.checks import View, check_texts
from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.model import PolicyEntry
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.policies.registry import PolicyRegistry


def parse_policy_object(body: Body, policy_types: PolicyRegistry) -> tuple[PolicyEntry, View]:
    """Return a policy and its view. Raises BodyRefused, ObjectRefused."""
    names = ("id", "name", "policy_type", "api_id")
    texts = {name: body.text(name) for name in names}
    config = body.any_value("config")
    priority = body.integer("priority")
    errors = check_texts(texts)
    if not isinstance(config, dict):
        errors.append("config must be an object")
        config = {}
    elif not errors:
        try:
            policy_types.parse(texts["policy_type"], texts["id"], config)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ObjectRefused(errors)
    view = {
        "id": texts["id"],
        "name": texts["name"],
        "policy_type": texts["policy_type"],
        "config": config,
        "priority": priority,
        "api_id": texts["api_id"],
    }
    return entry_from_body(body), view


def entry_from_body(body: Body) -> PolicyEntry:
    """Return the policy of a body, or of a view, that was validated before. Raises BodyRefused."""
    return PolicyEntry(
        id=body.text("id"),
        name=body.text("name"),
        policy_type=body.text("policy_type"),
        config=body.mapping("config"),
        priority=body.integer("priority"),
        api_id=intern(body.text("api_id")),
    )
