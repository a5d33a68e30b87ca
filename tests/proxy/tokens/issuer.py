"""An issuer of tokens on loopback: keys that rotate, and every way of publishing them badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tests.proxy.conftest import FakeClock

ISSUER = "https://id.test/realms/acme"
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(algorithm: str, name: str = "") -> Any:
    """A key for an algorithm, the same for the same name."""
    return _make_key("RSA" if algorithm[1:2] == "S" and algorithm[0] in "RP" else algorithm, name)


@cache  # making one of RSA takes a tenth of a second
def _make_key(algorithm: str, name: str) -> Any:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(algorithm: str, key_id: str | None, name: str = "", **fields: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    public = private_key(algorithm, name).public_key()
    value: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    value.pop("key_ops", None)
    return value | ({} if key_id is None else {"kid": key_id}) | fields


def make_token(
    clock: FakeClock,
    claims: Mapping[str, Any] | None = None,
    algorithm: str = "ES256",
    key_id: str | None = "k1",
    name: str = "",
    **header: Any,
) -> str:
    """A token of the issuer that is good for a minute, unless `claims` say otherwise."""
    now = int(clock.now().timestamp())
    body = {"iss": ISSUER, "sub": "u1", "azp": "mobile", "iat": now, "exp": now + 60}
    body |= claims or {}
    kept = {key: value for key, value in body.items() if value is not None}
    headers = ({} if key_id is None else {"kid": key_id}) | header
    return jwt.encode(kept, private_key(algorithm, name), algorithm, headers=headers)


class Issuer:
    """Serves `keys`, or `body` with `status`; waits for `gate` first. `calls` are paths."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk("ES256", "k1")]
        self.body: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.discovery: dict[str, Any] = {}
        self.calls: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls.append(request.raw_path)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if request.path.endswith("/.well-known/openid-configuration"):
            return web.json_response(self.discovery)
        body = self.body
        if body is None:
            body = json.dumps({"keys": self.keys}).encode()
        return web.Response(status=self.status, body=body, headers=self.headers)
