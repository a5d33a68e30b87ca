"""Decisions per second of a sidecar on one core: `/authz`, loaded by wrk from another.

The table holds 10,000 routes; the one that is asked about needs a key and has a rate limit. Asked
in the form of Envoy's `ext_authz`, of nginx's `auth_request` and as a JSON document, over both
engines, with the same headers in each check, with a path of its own in each (`paths`), and with an
id of its own in a header, too (`ids`) or of a client of its own (`clients`).

    python -m benchmarks authz              # all
    python -m benchmarks.authz fast envoy   # one engine, one form
"""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.foundation.allocator import tune_malloc

from benchmarks.proxy_peers import (
    CONNECTIONS,
    KEY,
    PATHS,
    ROUNDS,
    SECONDS,
    Peer,
    cores,
    fill,
    free_port,
    start,
    wait_for,
)

ENGINES = ("fast", "aiohttp")
KINDS = ("alike", "paths", "ids", "clients")
TARGET = 25_000
# What Envoy 1.39 sends beside what is in `allowed_headers`.
ENVOY = """
wrk.headers["Host"] = "api.acme.test"
wrk.headers["Content-Length"] = "0"
wrk.headers["X-Envoy-Internal"] = "true"
wrk.headers["X-Envoy-Expected-Rq-Timeout-Ms"] = "200"
local number = 0
request = function()
  number = number + 1
  if IDS then wrk.headers["X-Request-Id"] = tostring(number) end
  if CLIENTS then wrk.headers["X-Forwarded-For"] = client(number) end
  return wrk.format("GET", "/authz" .. (VARY and (PATH .. "/" .. number) or PATH))
end
"""
NGINX = """
wrk.headers["X-Original-Host"] = "api.acme.test"
wrk.headers["X-Original-Method"] = "GET"
local number = 0
request = function()
  number = number + 1
  if IDS then wrk.headers["X-Request-Id"] = tostring(number) end
  if CLIENTS then wrk.headers["X-Forwarded-For"] = client(number) end
  wrk.headers["X-Original-URI"] = VARY and (PATH .. "/" .. number) or PATH
  return wrk.format("GET", "/authz")
end
"""
DOCUMENT = """
wrk.headers["Content-Type"] = "application/json"
local number = 0
request = function()
  number = number + 1
  local path = VARY and (PATH .. "/" .. number) or PATH
  local id = IDS and (',"x-request-id":"' .. number .. '"') or ""
  local headers = '{"host":"api.acme.test","x-api-key":"' .. KEY .. '"' .. id .. '}'
  local address = CLIENTS and client(number) or "198.51.100.7"
  return wrk.format("POST", "/authz", nil, '{"method":"GET","path":"' .. path ..
    '","headers":' .. headers .. ',"source_ip":"' .. address .. '"}')
end
"""
FORMS = {"envoy": ENVOY, "nginx": NGINX, "json": DOCUMENT}
COMMON = """
wrk.headers["X-API-Key"] = KEY
wrk.headers["X-Forwarded-For"] = "198.51.100.7"
wrk.headers["X-Forwarded-Proto"] = "https"
local function client(number)
  local low, high = number % 250, math.floor(number / 250) % 250
  return "10." .. number % 251 .. "." .. high .. "." .. low
end
"""


async def serve(engine: str, port: int) -> None:
    config = ProxyConfig(port=port, admin_api_token="t", engine=engine, mode="sidecar")
    gateway = Gateway(config)
    await gateway.start()
    await fill(gateway, "full", 9)
    gc.collect()
    gc.freeze()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await gateway.stop(0.1)


def write_script(folder: Path, form: str, kind: str) -> Path:
    differs = (kind != "alike", kind == "ids", kind == "clients")
    flags = ", ".join(str(one).lower() for one in differs)
    known = f'local PATH, KEY, VARY, IDS, CLIENTS = "{PATHS["full"]}", "{KEY}", {flags}'
    path = folder / f"{form}.{kind}.lua"
    path.write_text("\n".join((known, COMMON, FORMS[form])))
    return path


def load(core: int, peer: Peer, script: Path, seconds: float) -> tuple[float, float, int]:
    """Return decisions per second, CPU seconds for each, and how many were none."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s",
               "-s", str(script), f"http://127.0.0.1:{peer.port}/"]  # fmt: skip
    before = peer.seconds()
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = peer.seconds() - before
    count = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if count is None or rate is None:
        sys.exit(f"wrk said:\n{text}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, lost.groups())) if lost else 0)
    if not int(count[1]):
        return 0.0, 0.0, 1  # the table is being filled
    return float(rate[1]), used / int(count[1]), errors


def measure(folder: Path, engine: str, forms: list[str]) -> None:
    core, other = cores()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.authz", "serve", engine, str(port)]
    peer = Peer(engine, port, start(core, command), folder)
    try:
        wait_for(port)
        for form in forms:
            for kind in KINDS:
                script = write_script(folder, form, kind)
                wait_until_allowed(other, peer, script)
                rounds = [load(other, peer, script, SECONDS) for _ in range(ROUNDS)]
                rates, cpu, errors = zip(*rounds, strict=True)
                # What others leave of a core says little: a decision's CPU says how many it is for.
                used = statistics.median(cpu)
                print(
                    f"  {engine:<8} {form:<6} {kind:<6}"
                    f" {statistics.median(rates):8.0f}/s  min {min(rates):8.0f}/s"
                    f"  CPU p50={used * 1e6:5.1f} us, {1 / used:6.0f}/s of a core"
                    f"  {peer.resident():4.0f} MiB  errors={sum(errors)}",
                    flush=True,
                )
    finally:
        peer.process.terminate()
        peer.process.wait(20)


def wait_until_allowed(core: int, peer: Peer, script: Path) -> None:
    """Warm up, and wait until the table is filled."""
    until = time.monotonic() + 120
    while load(core, peer, script, 1)[2]:
        if time.monotonic() > until:
            sys.exit("the sidecar allows nothing")


def main(arguments: list[str] | None = None) -> None:
    chosen = sys.argv[1:] if arguments is None else arguments
    engines = [one for one in ENGINES if one in chosen] or list(ENGINES)
    forms = [one for one in FORMS if one in chosen] or list(FORMS)
    print(f"/authz, {CONNECTIONS} connections   (to reach: fast >= {TARGET}/s on one core)")
    with tempfile.TemporaryDirectory() as folder:
        for engine in engines:
            measure(Path(folder), engine, forms)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        tune_malloc()
        factory = None
        if sys.argv[2] == "fast":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(sys.argv[2], int(sys.argv[3])))
    else:
        main()
