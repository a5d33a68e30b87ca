"""Generate a big catalog: N API documents of about 800 bytes over M tenants, the same for the same
arguments.

    python benchmarks/gen_catalog.py FOLDER [--apis 10000] [--tenants 100] [--git] [--change K]

`--git` commits the result to a new repository in FOLDER. `--change K` gives K documents another
version in an existing FOLDER, to measure what a small change costs.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

API_VERSION = "apiVersion: gostoa.dev/v1alpha1"

API = """\
# yaml-language-server: $schema=../../../../../schemas/v1alpha1/api.json
{head}
kind: API
metadata:
  name: api-{number}
  labels:
    team: team-{team}
    tier: "{tier}"
spec:
  displayName: API number {number}
  version: "{version}"
  description: Generated for measuring; answers questions about things of sort {team}, {words}.
  backend:
    url: https://api-{number}.backend-{team}.example.com/v{tier}
    timeout: 10s
    retries: 2
    auth:
      in: header
      name: X-Api-Key
      valueRef: {{env: BACKEND_{team}_KEY}}
  routes:
    - path: /apis/tenant-{tenant}/api-{number}
      methods: [GET, POST, PUT, DELETE]
      hosts: [api-{team}.example.com]
  policies:
    - standard-limit
  plans:
    - name: bronze
      perMinute: 60
    - name: gold
      perSecond: 50
      perDay: 100000
  portal:
    visibility: internal
    category: category-{team}
    tags: [generated, measured]
"""

TENANT = """\
{head}
kind: Tenant
metadata:
  name: tenant-{tenant}
spec:
  contact: {{team: Team {tenant}, email: team-{tenant}@example.com}}
  gateways: [main]
"""

POLICY = """\
{head}
kind: Policy
metadata:
  name: standard-limit
spec:
  type: rate_limit
  config: {{requests: 1000, window: 1m}}
"""

CATALOG = """\
{head}
kind: Catalog
metadata:
  name: generated
spec:
  tenants:
{grants}
"""

GATEWAY = """\
{head}
kind: GatewayInstance
metadata:
  name: main
spec:
  gatewayType: stoa
  environment: prod
  baseUrl: https://gateway.example.com
"""


def api_document(number: int, tenants: int, version: str = "1.0.0") -> tuple[str, str]:
    """Return (path, text) of one API."""
    tenant, team = number % tenants, number % 37
    words = ", ".join(f"word{(number * step) % 911}" for step in (3, 7, 11, 13))
    text = API.format(
        head=API_VERSION,
        number=number,
        team=team,
        tenant=tenant,
        tier=1 + number % 3,
        version=version,
        words=words,
    )
    return f"tenants/tenant-{tenant}/apis/api-{number}/api.yaml", text


def generate(folder: Path, apis: int, tenants: int) -> None:
    """Write a catalog."""
    files = {"gateways/main.yaml": GATEWAY.format(head=API_VERSION)}
    grants = "\n".join(f"    tenant-{tenant}: {{env: [BACKEND_]}}" for tenant in range(tenants))
    files["catalog.yaml"] = CATALOG.format(head=API_VERSION, grants=grants)
    for tenant in range(tenants):
        base = f"tenants/tenant-{tenant}"
        files[f"{base}/tenant.yaml"] = TENANT.format(head=API_VERSION, tenant=tenant)
        files[f"{base}/policies/standard-limit.yaml"] = POLICY.format(head=API_VERSION)
    files.update(api_document(number, tenants) for number in range(apis))
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def change(folder: Path, count: int, tenants: int) -> None:
    """Give the first `count` APIs another version."""
    for number in range(count):
        path, text = api_document(number, tenants, version="1.0.1")
        (folder / path).write_text(text, encoding="utf-8")


def commit(folder: Path, message: str) -> None:
    """Commit everything in a folder."""
    identity = ["-c", "user.name=generator", "-c", "user.email=generator@example.com"]
    if not (folder / ".git").exists():
        subprocess.run(["git", "-C", str(folder), "init", "--quiet", "-b", "main"], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    subprocess.run(
        ["git", "-C", str(folder), *identity, "commit", "--quiet", "-m", message], check=True
    )


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--apis", type=int, default=10_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--git", action="store_true")
    parser.add_argument("--change", type=int, default=0, metavar="K")
    arguments = parser.parse_args()
    if arguments.change:
        change(arguments.folder, arguments.change, arguments.tenants)
    else:
        generate(arguments.folder, arguments.apis, arguments.tenants)
    if arguments.git:
        commit(arguments.folder, f"change {arguments.change}" if arguments.change else "generated")


if __name__ == "__main__":
    main()
