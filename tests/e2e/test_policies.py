"""Each policy that the embedded gateway enforces, from a document to an answer."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import running

APIS = {
    "limited": "{type: rate_limit, config: {requests: 1, window: 1h, by: ip}}",
    "small": "{type: request_size, config: {max: 1KiB}}",
    "local": "{type: ip_filter, config: {deny: [127.0.0.0/8]}}",
    "marked": "{type: headers, config: {response: {set: {X-Mark: yes-it-is}}}}",
    "mocked": "{type: mock, config: {status: 418, body: short and stout}}",
    "keyed": "{type: api_key, config: {}}",
    "shared": "{type: cors, config: {origins: ['https://portal.example']}}",
    "counted": "{type: quota, config: {requests: 2, period: month, by: ip}}",
    "kept": "{type: caching, config: {ttl: 1h}}",
    "logged": "{type: logging, config: {redact: [user_agent]}}",
    "tokens": "{type: jwt, config: {issuer: 'https://id.example', algorithms: [RS256]}}",
    "stubborn": "{type: retry, config: {attempts: 3, on: [connect, 503], methods: [GET]}}",
    "careful": "{type: circuit_breaker, config: {failures: 1, window: 1m, reset: 1h}}",
}


async def test_policies_of_a_catalog_are_enforced(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("fine") as backend:
        for name, policy in APIS.items():
            catalog.api(name, backend, f"  policies: [{policy}]\n")
        async with running(catalog.root, tmp_path / "state") as process:
            base = f"{process.gateway}/apis/acme"
            async with httpx.AsyncClient(timeout=30) as client:
                assert (await client.get(f"{base}/limited")).status_code == 200
                limited = await client.get(f"{base}/limited")
                assert limited.status_code == 429
                assert int(limited.headers["retry-after"]) > 0
                assert (await client.post(f"{base}/small", content=b"x" * 1024)).text == "fine"
                assert (await client.post(f"{base}/small", content=b"x" * 1025)).status_code == 413
                assert (await client.get(f"{base}/local")).status_code == 403
                assert (await client.get(f"{base}/marked")).headers["x-mark"] == "yes-it-is"
                mocked = await client.get(f"{base}/mocked")
                assert (mocked.status_code, mocked.text) == (418, "short and stout")
                assert (await client.get(f"{base}/keyed")).status_code == 401
                counted = [(await client.get(f"{base}/counted")).status_code for _ in range(2)]
                assert counted == [200, 200]
                await client.get(f"{base}/kept")
                kept = (await client.get(f"{base}/kept")).headers["cache-status"]
                assert kept.startswith("stoa-gateway; hit; ttl=3")
                for name in ("logged", "stubborn", "careful"):
                    assert (await client.get(f"{base}/{name}")).text == "fine"
                refused = await client.get(f"{base}/tokens")
                assert refused.headers["www-authenticate"] == 'Bearer realm="api"'
                shared = await client.get(
                    f"{base}/shared", headers={"Origin": "https://portal.example"}
                )
                assert shared.headers["access-control-allow-origin"] == "https://portal.example"
        # What was counted is counted after a restart, too.
        async with running(catalog.root, tmp_path / "state") as process:
            async with httpx.AsyncClient(timeout=30) as client:
                counted_again = await client.get(f"{process.gateway}/apis/acme/counted")
                assert counted_again.json()["type"] == "urn:stoa:problem:quota-exceeded"
                answer = await client.get(
                    f"{process.control}/v1/gateways/local/plan",
                    headers={"Authorization": f"Bearer {process.control_token}"},
                )
            (plan,) = answer.json()["gateways"]
            assert (plan["skipped"], plan["changes"]) == ([], [])


async def test_a_policy_that_the_gateway_cannot_express_holds_its_api_back(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("fine") as backend:
        catalog.api("open", backend)
        jwt = "{issuer: 'https://id.example', clockSkew: 2h}"
        catalog.api("guarded", backend, f"  policies: [{{type: jwt, config: {jwt}}}]\n")
        async with running(catalog.root, tmp_path / "state") as process:
            assert (await process.get("/apis/acme/open")).text == "fine"
            assert (await process.get("/apis/acme/guarded")).status_code == 404
            async with httpx.AsyncClient(timeout=30) as client:
                answer = await client.get(
                    f"{process.control}/v1/gateways/local/plan",
                    headers={"Authorization": f"Bearer {process.control_token}"},
                )
            (plan,) = answer.json()["gateways"]
            skipped = {skip["key"]: skip for skip in plan["skipped"]}
            assert set(skipped) == {"api/acme/guarded", "policy/acme/guarded.jwt"}
            assert {skip["reason"] for skip in skipped.values()} == {"Unsupported"}
            assert "jwt" in skipped["api/acme/guarded"]["message"]
