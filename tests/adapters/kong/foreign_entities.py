"""Entities of somebody else, of every type that stock Kong has, with every field set."""

from __future__ import annotations

from typing import Any, Final

from tests.unit.adapters.kong.token_keys import CERTIFICATE

_KEY: Final = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPDucY5Su6JBHsiw9
iyz9H30VSt8YCfiGHI6STsvczrqhRANCAATJ9RTM13TA5ql0HAcb3xaF4D4HCVkw
DOPwV6BcoqQVpCDMqJA3YlKobTQyY8h6bud1gCbKtK+pm6d1UfTq6tte
-----END PRIVATE KEY-----
"""

_JWK: Final = (
    '{"kid":"k-1","kty":"EC","crv":"P-256","x":"yfUUzNd0wOapdBwHG98WheA-Bw'
    'lZMAzj8FegXKKkFaQ","y":"IMyokDdiUqhtNDJjyHpu53WAJsq0r6mbp3VR9Orq214"}'
)


def _id(number: int) -> str:
    return f"22222222-0000-4000-8000-{number:012d}"


def _ref(number: int) -> dict[str, str]:
    return {"id": _id(number)}


_TAGS: Final = ["team:them", "stoa-managed-by:somebody-else", "a b"]
_COMMON: Final = {"tags": _TAGS, "created_at": 1600000000}

SERVICE, ROUTE, UPSTREAM, CONSUMER, CERT, AUTHORITY, KEY_SET = range(1, 8)

EVERY_TYPE: Final[dict[str, list[dict[str, Any]]]] = {
    "certificates": [
        {"id": _id(CERT), "cert": CERTIFICATE, "key": _KEY, "cert_alt": None, "key_alt": None,
         **_COMMON},
    ],
    "snis": [
        {"id": _id(20), "name": "*.shop.example", "certificate": _ref(CERT), **_COMMON},
        {"id": _id(21), "name": "shop.example", "certificate": _ref(CERT), **_COMMON},
    ],
    "ca_certificates": [
        {"id": _id(AUTHORITY), "cert": CERTIFICATE,
         "cert_digest": "8f86228e3626f266aebca8602f07d2731e6b7274f083510354b67ea7cdaff97f",
         **_COMMON},
    ],
    "vaults": [
        {"id": _id(22), "prefix": "my-env", "name": "env", "description": "Ours, not yours: é",
         "config": {"prefix": "KONG_"}, **_COMMON},
    ],
    "key_sets": [{"id": _id(KEY_SET), "name": "theirs", **_COMMON}],
    "keys": [
        {"id": _id(23), "set": _ref(KEY_SET), "name": "k-1", "kid": "k-1",
         "jwk": _JWK, "pem": None, **_COMMON},
    ],
    "services": [
        {"id": _id(SERVICE), "name": "theirs", "protocol": "https", "host": "theirs.upstream",
         "port": 8443, "path": "/v1/(a);b=1", "retries": 32767, "connect_timeout": 1,
         "read_timeout": 2147483646, "write_timeout": 2, "tls_verify": True,
         "tls_verify_depth": 64, "client_certificate": _ref(CERT),
         "ca_certificates": [_id(AUTHORITY)], "enabled": False, **_COMMON},
    ],
    "routes": [
        {"id": _id(ROUTE), "name": "theirs", "protocols": ["https"], "methods": ["FOO", "GET"],
         "hosts": ["*.theirs.example", "theirs.example:8443"],
         "paths": ["~/a/(?<id>[0-9]+)$", "/b"],
         "headers": {"x-a": ["1", "2"]}, "snis": ["theirs.example"], "service": _ref(SERVICE),
         "strip_path": False, "preserve_host": True, "https_redirect_status_code": 308,
         "request_buffering": False, "response_buffering": False, "regex_priority": -7,
         "path_handling": "v1", **_COMMON},
        {"id": _id(24), "name": "stream", "protocols": ["tls", "tcp"], "sources":
         [{"ip": "10.0.0.0/8", "port": 1}], "destinations": [{"ip": "10.1.0.0/16", "port": None}],
         "snis": ["stream.example"], "service": None, **_COMMON},
    ],
    "upstreams": [
        {"id": _id(UPSTREAM), "name": "theirs.upstream", "algorithm": "consistent-hashing",
         "hash_on": "header", "hash_on_header": "X-A", "hash_fallback": "cookie",
         "hash_on_cookie": "c", "hash_on_cookie_path": "/c", "slots": 65536,
         "use_srv_name": True, "host_header": "h.example", "client_certificate": _ref(CERT),
         "healthchecks": {
             "threshold": 12.5,
             "active": {"type": "https", "timeout": 0.5, "concurrency": 3, "http_path": "/h",
                        "https_sni": "h.example", "https_verify_certificate": False,
                        "headers": {"x-h": ["1"]},
                        "healthy": {"interval": 0.25, "http_statuses": [200], "successes": 254},
                        "unhealthy": {"interval": 65535, "http_statuses": [500], "timeouts": 1,
                                      "tcp_failures": 2, "http_failures": 3}},
             "passive": {"type": "https",
                         "healthy": {"http_statuses": [201], "successes": 5},
                         "unhealthy": {"http_statuses": [502], "tcp_failures": 4, "timeouts": 5,
                                       "http_failures": 254}}},
         **_COMMON},
    ],
    "targets": [
        {"id": _id(25), "target": "[2001:db8::1]:80", "weight": 0, "upstream": _ref(UPSTREAM),
         "tags": _TAGS, "created_at": 1600000000.125},
        {"id": _id(26), "target": "t.example:65535", "weight": 65535, "upstream": _ref(UPSTREAM),
         "tags": _TAGS, "created_at": 1600000000.5},
    ],
    "consumers": [
        {"id": _id(CONSUMER), "username": "them é / , x", "custom_id": "42", **_COMMON},
    ],
    "keyauth_credentials": [
        {"id": _id(27), "key": "a key é", "ttl": None, "consumer": _ref(CONSUMER), **_COMMON},
    ],
    "basicauth_credentials": [
        {"id": _id(28), "username": "them:x",
         "password": "e80f30b4dfffb5bcf41153b6593f1d8831cb8808",
         "consumer": _ref(CONSUMER), **_COMMON},
    ],
    "hmacauth_credentials": [
        {"id": _id(29), "username": "them", "secret": "s", "consumer": _ref(CONSUMER), **_COMMON},
    ],
    "jwt_secrets": [
        {"id": _id(30), "key": "iss", "secret": "s", "algorithm": "HS512",
         "consumer": _ref(CONSUMER), **_COMMON},
    ],
    "acls": [{"id": _id(31), "group": "them é", "consumer": _ref(CONSUMER), **_COMMON}],
    "oauth2_credentials": [
        {"id": _id(32), "name": "app", "client_id": "c", "client_secret": "s",
         "hash_secret": False, "client_type": "public", "redirect_uris": ["https://r.example/cb"],
         "consumer": _ref(CONSUMER), **_COMMON},
    ],
    "plugins": [
        {"id": _id(33), "name": "cors", "instance_name": "their-cors", "enabled": False,
         "protocols": ["http"], "service": _ref(SERVICE),
         "config": {"max_age": -1, "origins": ["*", "https://a.example"], "methods": []},
         **_COMMON},
        {"id": _id(34), "name": "rate-limiting", "route": _ref(ROUTE),
         "config": {"year": 0.5, "policy": "redis", "redis": {"host": "r.example", "port": 1,
                    "password": "{vault://env/their-password}"}}, **_COMMON},
        {"id": _id(35), "name": "request-size-limiting", "consumer": _ref(CONSUMER),
         "config": {"allowed_payload_size": -1}, **_COMMON},
        {"id": _id(36), "name": "http-log", "config": {"http_endpoint": "https://l.example/x",
         "headers": {"X-Log": "secret"}, "custom_fields_by_lua": {"a": "return 1"}}, **_COMMON},
        {"id": _id(37), "name": "proxy-cache", "service": _ref(SERVICE),
         "config": {"strategy": "memory", "cache_ttl": 10000000000, "storage_ttl": 5}, **_COMMON},
    ],
}  # fmt: skip


def every_type(version: str) -> dict[str, Any]:
    """Return the document of all of them as a node of some version takes it."""
    document: dict[str, Any] = {"_format_version": "3.0", "_transform": False, **EVERY_TYPE}
    if version.startswith("3.4"):
        limits = document["plugins"][1]
        redis = {f"redis_{name}": value for name, value in limits["config"]["redis"].items()}
        config = {"year": 0.5, "policy": "redis", **redis}
        document["plugins"] = [
            {**limits, "config": config} if one is limits else one for one in document["plugins"]
        ]
    return document
