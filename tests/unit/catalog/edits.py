"""Random edits of a small catalog in which everything leads to everything else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
TENANTS = ("acme", "beta", "beta-x")
APIS = ("a", "b", "x-b")
OPENAPI = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {}\n"
BROKEN = (
    "kind: [",
    "",
    "a: 1\n",
    HEAD + "kind: Nothing\nmetadata: {name: x}\n",
    "x: {a: 1, a: 2}\n",
)


def some(draw: random.Random, good: tuple[str, ...], odd: tuple[str, ...] = ()) -> str:
    """Draw one; rarely one of those that are wrong, or wrong together with something else."""
    return draw.choice(odd if odd and draw.random() < 0.06 else good)


def text(kind: str, name: str, spec: str, more: str = "") -> str:
    return f"{HEAD}kind: {kind}\nmetadata: {{name: {name}{more}}}\nspec: {spec}\n"


def gateway(name: str, draw: random.Random) -> str:
    kinds = {"main": "stoa", "kong": "kong", "far": "stoa"}
    # One that refuses nested paths, and one that knows no tenants.
    kind = kinds.get(name) or some(draw, ("webmethods", "webmethods", "gravitee"))
    where = some(draw, ("dev", "dev", "dev", "prod"))
    more = some(
        draw,
        (
            "interval: 5m",
            "interval: 2m",
            "suspended: true",
            "wave: 3",
            "prune: {maxCount: 3}",
            "displayName: '${NAME:-n}'",
        ),
        (
            "tenants: [acme]",
            "tenants: [acme, beta]",
            "backends: {deny: [10.0.0.0/8]}",
            "interval: 0s",
            "backends: {allow: [127.0.0.0/8]}",
            "nonsense: 1",
            "backends: {deny: [0.0.0.0/0]}",
        ),
    )
    base = some(
        draw,
        (f"http://{name}.g.example",),
        ("http://prod.g.example", "http://main.g.example/", "embedded", "'${BASE:-http://h}'"),
    )
    return text(
        "GatewayInstance",
        name,
        f"{{gatewayType: {kind}, environment: {where}, baseUrl: {base}, {more}}}",
    )


def environment(name: str, draw: random.Random) -> str:
    variables = some(
        draw, ("{HOST: one.example}", "{HOST: two.example, NAME: n}"), ("{}", "{HOST: 7}")
    )
    patches = some(
        draw,
        (
            "[]",
            "[{kind: API, name: a, patch: {spec: {active: false}}}]",
            "[{kind: Policy, name: p, patch: {spec: {priority: 7}}}]",
        ),
        (
            "[{kind: API, tenant: beta*, patch: {spec: {version: 9}}}]",
            "[{kind: Tenant, patch: {spec: {gateways: [kong]}}}]",
            "[{kind: '*', name: b, patch: {metadata: {name: c}}}]",
        ),
    )
    return text("Environment", name, f"{{variables: {variables}, patches: {patches}}}")


def tenant(name: str, draw: random.Random) -> str:
    parts = [
        some(draw, ("", "displayName: other", "contact: {team: t}")),
        some(
            draw,
            ("", "", "gateways: [main]", "gateways: [kong, main]"),
            ("gateways: [nowhere]", "gateways: ['${HOST:-main}']"),
        ),
        some(draw, ("", "", "policies: [p]"), ("policies: [p, q]", "policies: [absent]")),
        some(
            draw,
            ("", "limits: {maxApis: 3}"),
            ("limits: {maxApis: 1}", "limits: {maxApplications: 0, maxApis: 2}"),
        ),
    ]
    return text("Tenant", name, "{" + ", ".join(part for part in parts if part) + "}")


def api(name: str, draw: random.Random) -> str:
    backend = some(
        draw,
        (
            "{url: https://b.example}",
            "{url: 'https://${HOST:-h}'}",
            "{url: http://10.0.0.1}",
            "{alias: echo}",
        ),
        (
            "{url: ftp://x}",
            "{url: http://127.0.0.1}",
            "{url: 'https://${HOST}'}",
            "{alias: ecco}",
            "{url: https://prod.example}",
        ),
    )
    parts = [
        f"version: {some(draw, ('1', 'x'))!r}",
        f"backend: {backend}",
        some(draw, ("",) * 9 + ("routes: [{path: /one}]",
                                "routes: [{path: /one, methods: [GET]}, {path: /one/two}]",
             "routes: [{path: /one, hosts: [h.example]}]",
             "routes: [{path: /}, {path: /one, methods: [POST]}]",
             "routes: [{path: /one/two/three}]", "routes: [{path: /two}, {path: /two}]")),
        some(draw, ("", "policies: [p, q]", "policies: [p]",
                    "policies: [{type: cors, config: {origins: ['*']}}]"),
             ("policies: [q, p]", "policies: [p, q]", "policies: [gone]")),
        some(draw, ("", "", "gateways: [main]", "gateways: [{name: kong, active: false}, grav]"),
             ("gateways: [none]", "gateways: [far, main]")),
        some(draw, ("", "plans: [{name: gold, perMinute: 6}]"),
             ("plans: [{name: silver, perDay: 9}]",)),
        some(draw, ("",), ("openapi: openapi.json", "openapi: spec.yaml",
                           "openapi: ../a/api.yaml")),
    ]  # fmt: skip
    more = some(
        draw,
        (
            "",
            ", annotations: {gostoa.dev/protect: 'true'}",
            ", tenant: acme" if draw.random() < 0.05 else "",
        ),
    )
    return text("API", name, "{" + ", ".join(part for part in parts if part) + "}", more)


def policy(name: str, draw: random.Random) -> str:
    if name == "q":
        return text(
            "Policy",
            name,
            some(
                draw,
                (
                    "{type: api_key, config: {}}",
                    "{type: rate_limit, config: {requests: 1, window: 1m}}",
                ),
            ),
        )
    spec = some(
        draw,
        (
            "{type: rate_limit, config: {requests: 5, window: 1m}}",
            "{type: rate_limit, config: {requests: 6, window: 60s}}",
            "{type: rate_limit, config: {requests: 6, window: 1m}, onUnsupported: warn}",
        ),
        (
            "{type: cors, config: {origins: ['https://${HOST}']}}",
            "{type: api_key, config: {}}",
            "{type: rate_limit, config: {requests: 0, window: 1m}}",
        ),
    )
    return text("Policy", name, spec)


def application(name: str, draw: random.Random) -> str:
    asked = []
    for _ in range(draw.randrange(3)):
        of = draw.choice(("", "", *(f"{tenant}/" for tenant in TENANTS)))
        plan = draw.choice(("", "", ", plan: gold", ", plan: silver"))
        asked.append(f"{{api: {of}{draw.choice((*APIS, 'absent'))}{plan}}}")
    credentials = draw.choice(
        ("[]", "[{type: basic, usernameRef: {env: U}, passwordRef: {env: P}}]", "[{type: basic}]")
    )
    return text(
        "Application", name, f"{{subscriptions: [{', '.join(asked)}], credentials: {credentials}}}"
    )


def paths() -> dict[str, tuple[str, str]]:
    """Return what may lie where: (sort of document, name) by path."""
    found = {f"gateways/{name}.yaml": ("gateway", name) for name in ("main", "kong", "grav", "far")}
    found |= {f"environments/{name}.yaml": ("environment", name) for name in ("dev", "prod")}
    found |= {"catalog.yaml": ("catalog", "one"), "catalog.yml": ("catalog", "two")}
    found |= {"gateways/again.yml": ("gateway", "main"), "platform/alias.yml": ("openapi", "")}
    for of in TENANTS:
        base = f"tenants/{of}"
        found |= {f"{base}/tenant.yaml": ("tenant", of), f"{base}/tenant.yml": ("tenant", of)}
        for name in APIS:
            for file in ("api.yaml", "sub/api.yaml"):
                found[f"{base}/apis/{name}/{file}"] = ("api", name)
            for file in ("openapi.yaml", "openapi.json", "spec.yaml", "sub/openapi.yaml"):
                found[f"{base}/apis/{name}/{file}"] = ("openapi", "")
        for name in ("p", "q", "r"):
            found[f"{base}/policies/{name}.yaml"] = ("policy", name)
        for name in ("m", "n"):
            found[f"{base}/applications/{name}.yaml"] = ("application", name)
    return found | {
        "tenants/Bad_Name/apis/a/api.yml": ("api", "a"),
        "tenants/lone.yaml": ("tenant", "acme"),
    }


PATHS = paths()
OFTEN = [path for path in PATHS if "sub/" not in path and not path.endswith((".yml", ".json"))]


def document(path: str, draw: random.Random) -> str:
    sort, name = PATHS[path]
    if draw.random() < 0.01:
        return draw.choice(BROKEN)
    match sort:
        case "gateway":
            return gateway(name, draw)
        case "environment":
            return environment(name, draw)
        case "tenant":
            return tenant(name, draw)
        case "api":
            made = api(name, draw)
            return made if draw.random() < 0.97 else made + "---\n" + api(draw.choice(APIS), draw)
        case "policy":
            return policy(name, draw)
        case "application":
            return application(name, draw)
        case "catalog":
            return text("Catalog", name, "{}")
    return draw.choice(
        (OPENAPI, OPENAPI + "# other\n", "openapi: 3.0.3\ninfo: {}\npaths: {}\n", "[1]", "a: b\n")
    )


def start(draw: random.Random) -> dict[str, bytes]:
    """Return the files of a catalog that is mostly in order."""
    files = {}
    for path, (sort, _) in PATHS.items():
        likely = 1.0 if sort in ("gateway", "tenant", "environment") else 0.8
        likely = 0.02 if sort == "openapi" or path not in OFTEN else likely
        if draw.random() < likely:
            files[path] = document(path, draw).encode()
    return files


def edit(files: dict[str, bytes], draw: random.Random) -> None:
    """Do one thing: write, delete, move or copy a file, add a comment, or take a tenant away."""
    path = draw.choice(OFTEN if draw.random() < 0.9 else list(PATHS))
    there = sorted(files)
    match draw.choice(("write",) * 12 + ("delete", "move", "copy", "comment", "comment", "drop")):
        case "delete" if there:
            del files[draw.choice(there)]
        case "move" if there:
            files[path] = files.pop(draw.choice(there))
        case "copy" if there:
            files[path] = files[draw.choice(there)]
        case "comment" if there:
            found = draw.choice(there)
            files[found] = b"# a line\n" + files[found]
        case "drop" if draw.random() < 0.1:
            of = draw.choice(TENANTS)
            for found in [path for path in there if path.startswith(f"tenants/{of}/")]:
                del files[found]
        case _:
            files[path] = document(path, draw).encode()


def trees(seed: int, steps: int) -> Iterator[FolderTree]:
    """Yield a catalog, then what becomes of it by one to four edits at a time."""
    draw = random.Random(seed)
    files = start(draw)
    for number in range(steps):
        yield tree(files, draw, number)
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            edit(files, draw)


def tree(files: Mapping[str, bytes], draw: random.Random, number: int) -> FolderTree:
    problems: tuple[Problem, ...] = ()
    if draw.random() < 0.1:
        path = draw.choice(list(PATHS))
        problems = (Problem(path, "file.size", "too large", "split it"),)
        files = {name: data for name, data in files.items() if name != path}
    made = FolderTree({p: blob_id(d) for p, d in files.items()}, dict(files), problems)
    made.commit = f"{number:040x}" if draw.random() < 0.5 else None
    return made
