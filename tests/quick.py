"""Runs the tests of one package: `make quick PKG=planning`.

Unit tests follow the folders of what they test, so the name of a package leads to its tests; a
package without a folder of its own there is tested with the package around it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECONCILER = ROOT / "stoa_gitops"
DATA_PLANE = ROOT / "proxy" / "stoa_proxy"

# `slow` and `heavy` tests are left to `make test` and `make test-heavy`.
OPTIONS = ("-q", "--hypothesis-profile=quick", "-m", "not heavy and not slow")
# Packages whose tests take longer than 15 s of CPU: two workers. For the others the start of the
# workers (2 s each, mostly imports) would cost more than it saves.
PARALLEL = (
    "adapters", "adapters/gravitee", "adapters/kong", "adapters/kong/node",
    "adapters/kong/writing", "adapters/webmethods", "catalog", "proxy", "operations", "reconcile",
)  # fmt: skip
# Packages that are tested through another one, or by more than their unit tests.
# All of tests/adapters/kong would take a minute: the packages that it tests most have a part of it.
ALSO = {
    "adapters/gravitee": ("tests/adapters/gravitee",),
    "adapters/kong/node": (
        "tests/adapters/kong/test_node.py",
        "tests/adapters/kong/test_unmapped_fields.py",
    ),
    "adapters/kong/writing": (
        "tests/adapters/kong/test_dbless.py",
        "tests/adapters/kong/test_quarantine.py",
    ),
    "adapters/stoa": ("tests/adapters/stoa",),
    "adapters/webmethods": ("tests/adapters/webmethods",),
    "reconcile": ("tests/scenarios/test_gateway_trouble.py",),
    "operations": ("tests/unit/daemon", "tests/unit/control"),
}
# One rig of each gateway type runs the contract suite in the quick loop; `make test` runs them all.
RIGS = {
    "adapters/gravitee": "gravitee-4.12",
    "adapters/kong": "kong-3.9-document",
    "adapters/memory": "memory",
    "adapters/stoa": "stoa-embedded",
    "adapters/template": "template",
    "adapters/webmethods": "webmethods-10.15",
}


def packages() -> dict[str, Path]:
    """Return the folder of every package by its name: `catalog/kinds`, `proxy/core`."""
    return dict([*_below(RECONCILER, ""), ("proxy", DATA_PLANE), *_below(DATA_PLANE, "proxy/")])


def _below(root: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for init in sorted(root.rglob("__init__.py")):
        if init.parent != root:
            yield prefix + init.parent.relative_to(root).as_posix(), init.parent


def find_package(name: str) -> str:
    """Return the package that `name` means: a path, a dotted name, or a unique end of one.

    Raises SystemExit with the names there are.
    """
    path = name.strip("/").replace(".", "/")
    path = path.removeprefix("stoa_gitops/").replace("stoa_proxy", "proxy")
    known = packages()
    matches = [path] if path in known else [p for p in known if p.endswith("/" + path)]
    if len(matches) == 1:
        return matches[0]
    problem = f"{name!r} could be {' or '.join(matches)}" if matches else f"no package {name!r}"
    raise SystemExit(f"quick: {problem}; the packages are:\n  " + "\n  ".join(known))


def folders_with_tests(package: str) -> list[str]:
    """Return the folders with the tests of a package, relative to the root of the repository."""
    folders = list(ALSO.get(package, ()))
    path = Path("tests", *(() if package.startswith("proxy") else ("unit",)), package)
    while not (ROOT / path).is_dir():
        path = path.parent
    # `tests/unit/adapters` around a gateway type holds the tests of all the others.
    is_too_wide = path.name == "adapters" and package != "adapters"
    if path.name not in ("unit", "tests") and not is_too_wide:
        folders.insert(0, path.as_posix())
    return folders


def commands(package: str) -> Iterator[list[str]]:
    """Yield the pytest command lines of a package's quick run."""
    pytest = [sys.executable, "-m", "pytest", *OPTIONS]
    workers = ["--numprocesses=2", "--dist=loadgroup"] if package in PARALLEL else []
    if folders := folders_with_tests(package):
        yield [*pytest, *workers, *folders]
    if rig := RIGS.get(package):
        yield [*pytest, "tests/contract", "-k", rig]


def main(arguments: list[str]) -> int:
    """Run the tests of the package that is named; return pytest's exit code."""
    package = find_package(arguments[0] if arguments else "")
    for command in commands(package):
        if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
