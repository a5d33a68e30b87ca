"""Rules over several fields of one entity, as the schema data names them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.adapters.kong.double.lua_errors import ErrorTree
from tests.adapters.kong.double.schema import Entity

_PERIODS = ("second", "minute", "hour", "day", "month", "year")


def run_entity_checks(checks: list[dict[str, Any]], entity: Entity, errors: ErrorTree) -> None:
    """Add what the checks find to `errors`; a check whose fields are wrong already stays silent."""
    for check in checks:
        names = check.get("fields", []) + [check[n] for n in ("if", "then") if n in check]
        if any(_get(errors, name) is not None for name in names):
            continue
        _RULES[check["check"]](check, entity, errors)


def _get(entity: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(entity, str):
            return entity
        if not isinstance(entity, dict):
            return None
        entity = entity.get(part)
    return entity


def _add_entity_error(errors: ErrorTree, message: str) -> None:
    errors.setdefault("@entity", []).append(message)


def _put(errors: ErrorTree, path: str, message: str) -> None:
    *parents, last = path.split(".")
    for part in parents:
        errors = errors.setdefault(part, {})
    errors[last] = message


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _is_filled(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def _at_least_one_of(check: dict[str, Any], entity: Entity, errors: ErrorTree) -> None:
    within, where = check.get("within"), errors
    source = entity
    if within:
        source = entity.get(within) or {}
    if any(_is_filled(_get(source, name)) for name in check["fields"]):
        return
    if within:
        where = errors.setdefault(within, {})
        if not isinstance(where, dict):
            return
    _add_entity_error(
        where, f"at least one of these fields must be non-empty: {_quoted(check['fields'])}"
    )


def _only_one_of(check: dict[str, Any], entity: Entity, errors: ErrorTree) -> None:
    if sum(_is_filled(_get(entity, name)) for name in check["fields"]) != 1:
        _add_entity_error(
            errors, f"exactly one of these fields must be non-empty: {_quoted(check['fields'])}"
        )


def _mutually_required(check: dict[str, Any], entity: Entity, errors: ErrorTree) -> None:
    if len({_is_filled(_get(entity, name)) for name in check["fields"]}) > 1:
        _add_entity_error(
            errors, f"all or none of these fields must be set: {_quoted(check['fields'])}"
        )


def _applies(check: dict[str, Any], value: Any) -> bool:
    if "eq" in check:
        return bool(value == check["eq"])
    if "one_of" in check:
        return value in check["one_of"]
    if "not_one_of" in check:
        return value not in check["not_one_of"]
    return isinstance(value, int | float) and value > check["gt"]


def _conditional(check: dict[str, Any], entity: Entity, errors: ErrorTree) -> None:
    if not _applies(check, _get(entity, check["if"])):
        return
    value, message = _get(entity, check["then"]), None
    if check.get("required") and value is None:
        message = "required field missing"
    elif check.get("null") and value is not None:
        message = "value must be null"
    elif "contains" in check and value is not None and check["contains"] not in value:
        message = f"expected to contain: {check['contains']}"
    if message:
        _put(errors, check["then"], message)
        _add_entity_error(
            errors, f"failed conditional validation given value of field '{check['if']}'"
        )


_SHAPES = {
    "https": (("methods", "hosts", "headers", "paths", "snis"), ("sources", "destinations")),
    "http": (("methods", "hosts", "headers", "paths"), ("sources", "destinations")),
    "grpcs": (("hosts", "headers", "paths", "snis"), ("methods", "sources", "destinations")),
    "grpc": (("hosts", "headers", "paths"), ("methods", "sources", "destinations")),
    "tls": (("sources", "destinations", "snis"), ("methods", "hosts", "headers", "paths")),
    "tcp": (("sources", "destinations", "snis"), ("methods", "hosts", "headers", "paths")),
    "udp": (("sources", "destinations", "snis"), ("methods", "hosts", "headers", "paths")),
    "tls_passthrough": (("snis",), ("methods", "hosts", "headers", "paths")),
}
_FAMILIES = {
    "https": "'http' or 'https'", "http": "'http' or 'https'", "grpcs": "'grpc' or 'grpcs'",
    "grpc": "'grpc' or 'grpcs'",
}  # fmt: skip
_STREAM = "'tcp', 'tls', 'tls_passthrough' or 'udp'"


def _route_shape(check: dict[str, Any], entity: Entity, errors: ErrorTree) -> None:
    """Which fields a route needs and must not have depends on its protocols."""
    if "protocols" in errors:
        return
    protocols = entity.get("protocols") or []
    main = next((name for name in _SHAPES if name in protocols), None)
    if main is None:
        return
    wanted, barred = _SHAPES[main]
    for name in barred:
        if entity.get(name) is not None:
            errors[name] = f"cannot set '{name}' when 'protocols' is {_FAMILIES.get(main, _STREAM)}"
    if main.startswith("grpc") and entity.get("strip_path"):
        errors["strip_path"] = "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"
    if any(name in errors for name in wanted) or any(_is_filled(entity.get(n)) for n in wanted):
        return
    if main == "tls_passthrough":
        _add_entity_error(errors, "must set snis when 'protocols' is 'tls_passthrough'")
    else:
        shown = "'tcp', 'tls' or 'udp'" if main in ("tls", "tcp", "udp") else f"'{main}'"
        _add_entity_error(
            errors, f"must set one of {_quoted(list(wanted))} when 'protocols' is {shown}"
        )


_RULES = {
    "at_least_one_of": _at_least_one_of,
    "only_one_of": _only_one_of,
    "mutually_required": _mutually_required,
    "conditional": _conditional,
    "route_shape": _route_shape,
}


def rate_limits(config: Entity) -> str | None:
    given = [(p, config[p]) for p in _PERIODS if isinstance(config.get(p), int | float)]
    for at, (short, few) in enumerate(given):
        for longer, many in given[at + 1 :]:
            if many < few:
                above, below = f"{longer}({many:.1f})", f"{short}({few:.1f})"
                return f"The limit for {above} cannot be lower than the limit for {below}"
    rate = config.get("sync_rate")
    if config.get("policy") != "redis" and rate != -1:
        return "sync_rate can only be used with the redis policy"
    if rate is not None and rate != -1 and rate < 0.02:
        return "sync_rate must be greater than 0.02, or -1 to disable"
    return None


def termination(config: Entity) -> str | None:
    has = {name: _is_filled(config.get(name)) for name in ("message", "content_type", "body")}
    if has["message"] and (has["content_type"] or has["body"]):
        return "message cannot be used with content_type or body"
    if has["content_type"] and not has["body"]:
        return "content_type requires a body"
    if config.get("echo") and (has["content_type"] or has["body"]):
        return "echo cannot be used with content_type and body"
    return None


def log_authorization(config: Entity) -> str | None:
    names = {name.lower() for name in config.get("headers") or {}}
    if "@" in urlsplit(config["http_endpoint"]).netloc and "authorization" in names:
        both = "both an 'Authorization' header and user info in 'http_endpoint'"
        return f"specifying {both} is not allowed"
    return None


def oauth2_flows(config: Entity) -> str | None:
    flows = [
        "enable_authorization_code",
        "enable_implicit_grant",
        "enable_client_credentials",
        "enable_password_grant",
    ]
    if any(config.get(name) for name in flows):
        return None
    return f"at least one of these fields must be true: {', '.join(flows)}"


CONFIG_RULES = {
    one.__name__: one for one in (rate_limits, termination, log_authorization, oauth2_flows)
}
