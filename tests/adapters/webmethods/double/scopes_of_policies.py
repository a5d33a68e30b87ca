"""Which APIs a global policy reaches, with what the product's filters really select."""

from __future__ import annotations

from tests.adapters.webmethods.double.answers import Tree


def is_selected(policy: Tree, api: Tree) -> bool:
    """Whether a global policy applies to an API (contract A.4).

    A filter by API alone selects nothing; only one of HTTP methods with a "true" does.
    Tags of APIs select nothing.
    """
    scope = policy.get("scope") or {}
    types = scope.get("applicableAPITypes")
    if types is not None and api["type"] not in types:
        return False
    conditions = scope.get("scopeConditions") or []
    methods = [one for one in conditions if one.get("filterType") == "HTTP_METHOD"]
    if not any(attr.get("value") == "true" for one in methods for attr in one["attributes"]):
        return False
    results = [_matches(one, api) for one in conditions if one.get("filterType") == "API"]
    if not results:
        return True
    return any(results) if scope.get("logicalConnector") == "OR" else all(results)


def _matches(condition: Tree, api: Tree) -> bool:
    results = [_has(attribute, api) for attribute in condition["attributes"]]
    return any(results) if condition.get("logicalConnector") == "OR" else all(results)


def _has(attribute: Tree, api: Tree) -> bool:
    fields = {"API_NAME": "apiName", "API_DESCRIPTION": "apiDescription",
              "API_VERSION": "apiVersion"}  # fmt: skip
    if attribute["attributeName"] not in fields:
        return False
    held, value = str(api.get(fields[attribute["attributeName"]], "")), str(attribute["value"])
    return {
        "EQUALS": held == value,
        "NOT_EQUALS": held != value,
        "CONTAINS": value in held,
        "NOT_CONTAINS": value not in held,
        "STARTS_WITH": held.startswith(value),
        "NOT_STARTS_WITH": not held.startswith(value),
        "ENDS_WITH": held.endswith(value),
    }.get(attribute.get("operation", "EQUALS"), False)
