"""Kong's server defaults as data, and entities without them.

Read back from Kong 3.4.2 and 3.9.1; services, routes, consumers and upstreams are equal in both. A
field that a version lacks is never in its responses, so one table serves all versions; only the
Redis fields of the counting plugins moved, in 3.6. Fields that are missing here belong to a version
that we do not know and are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.versions import NESTED_REDIS

Table = Mapping[str, Any]

REQUIRED: Final = object()
"""Stands for "no default": the field is always written."""

_FOREIGN: Final = ("service", "route", "consumer", "upstream", "certificate", "client_certificate",
"set")  # fmt: skip
_TIMES: Final = frozenset({"created_at", "updated_at"})
# Kong keeps these as sets: the order of a response says nothing.
_SETS: Final = frozenset({"protocols", "methods", "snis"})

_STATUSES: Final = [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305,
306, 307, 308]  # fmt: skip
_HEALTHCHECKS: Final[Table] = {
    "threshold": 0,
    "active": {
        "type": "http", "timeout": 1, "concurrency": 10, "http_path": "/", "https_sni": None,
        "https_verify_certificate": True, "headers": None,
        "healthy": {"interval": 0, "http_statuses": [200, 302], "successes": 0},
        "unhealthy": {
            "interval": 0, "http_statuses": [429, 404, 500, 501, 502, 503, 504, 505],
            "tcp_failures": 0, "timeouts": 0, "http_failures": 0,
        },
    },
    "passive": {
        "type": "http",
        "healthy": {"http_statuses": _STATUSES, "successes": 0},
        "unhealthy": {
            "http_statuses": [429, 500, 503], "tcp_failures": 0, "timeouts": 0, "http_failures": 0,
        },
    },
}  # fmt: skip

ENTITY_DEFAULTS: Final[Mapping[str, Table]] = {
    "services": {
        # The port is always written: with `protocol: https` alone Kong takes 80.
        "name": None, "protocol": "http", "host": REQUIRED, "port": REQUIRED, "path": None,
        "retries": 5,
        "connect_timeout": 60000, "read_timeout": 60000, "write_timeout": 60000, "tags": None,
        "client_certificate": None, "tls_verify": None, "tls_verify_depth": None,
        "ca_certificates": None,
        "enabled": True,
    },
    "routes": {
        "name": None, "protocols": ["http", "https"], "methods": None, "hosts": None, "paths": None,
        "headers": None, "snis": None, "sources": None, "destinations": None, "service": None,
        "strip_path": True, "preserve_host": False, "https_redirect_status_code": 426,
        "request_buffering": True, "response_buffering": True, "regex_priority": 0,
        "path_handling": "v0", "tags": None,
    },
    "plugins": {
        "name": REQUIRED, "instance_name": None, "service": None, "route": None, "consumer": None,
        "enabled": True, "protocols": ["grpc", "grpcs", "http", "https"], "tags": None,
    },
    "consumers": {"username": None, "custom_id": None, "tags": None},
    "keyauth_credentials": {"consumer": None, "key": REQUIRED, "tags": None, "ttl": None},
    "jwt_secrets": {
        "consumer": None, "key": REQUIRED, "secret": None, "algorithm": "HS256",
        "rsa_public_key": None, "tags": None,
    },
    "acls": {"consumer": None, "group": REQUIRED, "tags": None},
    "upstreams": {
        "name": REQUIRED, "algorithm": "round-robin", "hash_on": "none", "hash_fallback": "none",
        "hash_on_header": None, "hash_fallback_header": None, "hash_on_cookie": None,
        "hash_on_cookie_path": "/", "hash_on_query_arg": None, "hash_fallback_query_arg": None,
        "hash_on_uri_capture": None, "hash_fallback_uri_capture": None, "slots": 10000,
        "use_srv_name": False, "host_header": None, "client_certificate": None, "tags": None,
        "healthchecks": _HEALTHCHECKS,
    },
    "targets": {"upstream": None, "target": REQUIRED, "weight": 100, "tags": None},
}  # fmt: skip

_REDIS: Final[Table] = {
    "host": None, "port": 6379, "timeout": 2000, "username": None, "password": None, "database": 0,
    "ssl": False, "ssl_verify": False, "server_name": None,
}  # fmt: skip
_QUEUE: Final[Table] = {
    "concurrency_limit": 1, "initial_retry_delay": 0.01, "max_batch_size": 1, "max_bytes": None,
    "max_coalescing_delay": 1, "max_entries": 10000, "max_retry_delay": 60, "max_retry_time": 60,
}  # fmt: skip
_EDITS: Final[Table] = {"body": [], "headers": [], "querystring": []}
_TYPED: Final[Table] = {"headers": [], "json": [], "json_types": []}

PLUGIN_DEFAULTS: Final[Mapping[str, Table]] = {
    "acl": {
        "allow": None, "deny": None, "hide_groups_header": False,
        "always_use_authenticated_groups": False,
    },
    "cors": {
        "origins": None, "headers": None, "exposed_headers": None, "max_age": None,
        "methods": ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"],
        "credentials": False, "preflight_continue": False, "private_network": False,
        "allow_origin_absent": True,  # since 3.10
    },
    "file-log": {"path": REQUIRED, "reopen": False, "custom_fields_by_lua": None},
    "http-log": {
        "http_endpoint": REQUIRED, "content_type": "application/json", "method": "POST",
        "timeout": 10000, "keepalive": 60000, "headers": None, "custom_fields_by_lua": None,
        "flush_timeout": None, "queue_size": None, "retry_count": None, "queue": _QUEUE,
    },
    "ip-restriction": {"allow": None, "deny": None, "message": None, "status": None},
    "jwt": {
        "anonymous": None, "claims_to_verify": None, "cookie_names": [],
        "header_names": ["authorization"], "key_claim_name": "iss", "maximum_expiration": 0,
        "realm": None, "run_on_preflight": True, "secret_is_base64": False,
        "uri_param_names": ["jwt"],
    },
    "key-auth": {
        "anonymous": None, "hide_credentials": False, "key_in_body": False, "key_in_header": True,
        "key_in_query": True, "key_names": ["apikey"], "realm": None, "run_on_preflight": True,
    },
    "proxy-cache": {
        "strategy": REQUIRED, "cache_control": False, "cache_ttl": 300,
        "content_type": ["text/plain", "application/json"], "ignore_uri_case": False,
        "memory": {"dictionary_name": "kong_db_cache"}, "request_method": ["GET", "HEAD"],
        "response_code": [200, 301, 404], "storage_ttl": None, "vary_headers": None,
        "vary_query_params": None,
        "response_headers": {"age": True, "X-Cache-Key": True, "X-Cache-Status": True},
    },
    "rate-limiting": {
        "second": None, "minute": None, "hour": None, "day": None, "month": None, "year": None,
        "limit_by": "consumer", "header_name": None, "path": None, "policy": "local",
        "fault_tolerant": True, "hide_client_headers": False, "error_code": 429,
        "error_message": "API rate limit exceeded", "sync_rate": -1, "redis": _REDIS,
        **{f"redis_{name}": default for name, default in _REDIS.items()},
    },
    "request-size-limiting": {
        "allowed_payload_size": 128, "require_content_length": False, "size_unit": "megabytes",
    },
    "request-termination": {
        "status_code": 503, "message": None, "body": None, "content_type": None, "echo": False,
        "trigger": None,
    },
    "request-transformer": {
        "http_method": None, "remove": _EDITS, "rename": _EDITS, "replace": {**_EDITS, "uri": None},
        "add": _EDITS, "append": _EDITS,
    },
    "response-transformer": {
        "remove": {"headers": [], "json": []}, "rename": {"headers": [], "json": []},
        "replace": _TYPED, "add": _TYPED, "append": _TYPED,
    },
}  # fmt: skip

# The plugins whose Redis settings moved into a record in 3.6.
_COUNTING: Final = frozenset({"rate-limiting", "response-ratelimiting"})
# The one plugin whose default `protocols` are other ones.
_PROTOCOLS: Final[Mapping[str, Any]] = {
    "ip-restriction": ["grpc", "grpcs", "http", "https", "tcp", "tls"]
}


def strip_defaults(entity_type: str, tree: Mapping[str, Any], node: NodeInfo) -> JsonTree:
    """Return an entity without nulls, known defaults, timestamps and flat echoes of `redis`.

    Foreign keys become `{"id": …}`. A null where the default is another value means something and
    stays, and so does the config of a plugin that is not in PLUGIN_DEFAULTS.
    """
    known = ENTITY_DEFAULTS.get(entity_type, {})
    if entity_type == "plugins" and tree.get("name") in _PROTOCOLS:
        known = {**known, "protocols": _PROTOCOLS[tree["name"]]}
    out = {
        name: _normal_reference(name, rest)
        for name, value in tree.items()
        if name not in _TIMES
        and (rest := _without_default(_sorted(name, value), known.get(name))) is not _NOTHING
    }
    if not out.get("tags", True):
        del out["tags"]
    if entity_type == "plugins" and isinstance(tree.get("config"), Mapping):
        config = strip_config_defaults(str(tree.get("name")), tree["config"], node)
        out.pop("config", None)
        if config:
            out["config"] = config
    if entity_type == "jwt_secrets" and "rsa_public_key" in out:
        # Kong generates a secret where none was sent, also for RS256, and another one at each load.
        out.pop("secret", None)
    return out


def strip_config_defaults(plugin: str, config: Mapping[str, Any], node: NodeInfo) -> JsonTree:
    """Return the config of a plugin without its defaults."""
    if plugin in _COUNTING and node.version >= NESTED_REDIS:
        # 3.6 to 3.9 echo the flat names beside `redis`, and answer 500 where the two differ.
        config = {name: v for name, v in config.items() if not name.startswith("redis_")}
    known = PLUGIN_DEFAULTS.get(plugin)
    return dict(config) if known is None else strip_record(config, known)


def strip_record(value: Mapping[str, Any], known: Table) -> JsonTree:
    """Return the fields of a record that differ from their defaults."""
    return {
        name: rest
        for name, item in value.items()
        if (rest := _without_default(item, known.get(name))) is not _NOTHING
    }


_NOTHING: Final = object()


def _without_default(value: Any, default: Any) -> Any:
    if value == default:
        return _NOTHING
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return strip_record(value, default) or _NOTHING
    return value


def _sorted(name: str, value: Any) -> Any:
    return sorted(value) if name in _SETS and isinstance(value, list) else value


def _normal_reference(name: str, value: Any) -> Any:
    if name in _FOREIGN and isinstance(value, str):
        return {"id": value}
    return value
