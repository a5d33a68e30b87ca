"""`validate` of many API documents from a git revision, as whole processes: CPU, memory, and how
both grow.

Peer: a loop that reads the same revision's documents with ruamel.yaml and checks them with
jsonschema against the same schema, and finds nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stoa_gitops.catalog import kind_names, schema_text

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 10_000, 100_000)
RUNS = 3

PLAIN_LOOP = """
import json, pathlib, subprocess, sys
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
root, schemas = map(pathlib.Path, sys.argv[1:])
check = Draft202012Validator(json.loads((schemas / "api.json").read_text()))
names = subprocess.run(["git", "ls-tree", "-r", "--name-only", "main"], cwd=root,
                       capture_output=True, text=True, check=True).stdout.split()
for name in names:
    if name.endswith("/api.yaml"):
        document = YAML(typ="rt").load((root / name).read_text())
        assert not list(check.iter_errors(document)), name
"""


def write_schemas(folder: Path) -> Path:
    """Write a self-contained schema of each kind, as `schema KIND` prints it; return the folder."""
    folder.mkdir(parents=True)
    for kind in kind_names():
        (folder / f"{kind.lower()}.json").write_text(schema_text(kind), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Run:
    """CPU in seconds, peak memory in MiB, exit code."""

    cpu: float
    peak: float
    code: int


def run(command: list[str]) -> Run:
    """Run one process to its end, by the operating system's own accounting."""
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Run(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, child.returncode)


def median(runs: list[Run]) -> Run:
    """The run with the median CPU time."""
    return sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]


def line(name: str, number: int, runs: list[Run]) -> Run:
    """Print one lane and return its median."""
    middle = median(runs)
    errors = sum(run.code != 0 for run in runs)
    print(
        f"  {name:<34} documents={number:<7} CPU={middle.cpu:7.2f} s"
        f"  per document={middle.cpu / number * 1e6:6.0f} us  "
        f"peak={middle.peak:6.0f} MiB  errors={errors}",
        flush=True,
    )
    return middle


def main() -> None:
    program = str(Path(sys.executable).parent / "stoa-gitops")
    print(
        "validate of many documents   "
        "(to reach: 10,000 in <= 2 s CPU and <= 200 MiB, 15 x the peer)"
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        schemas = write_schemas(Path(folder) / "schemas")
        for number in SIZES:
            catalog = Path(folder) / str(number)
            generate = [sys.executable, "-m", "benchmarks.gen_catalog", str(catalog)]
            tenants = str(max(1, number // 100))
            subprocess.run(
                [*generate, "--apis", str(number), "--tenants", tenants, "--git"],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            command = [program, "validate", "--catalog", str(catalog), "--revision", "main"]
            ours = line("stoa-gitops validate", number, [run(command) for _ in range(RUNS)])
            if number != 10_000:
                continue
            loop = [sys.executable, "-c", PLAIN_LOOP, str(catalog), str(schemas)]
            peer = line("peer: ruamel + jsonschema loop", number, [run(loop)])
            print(
                f"  ratio stoa-gitops / peer: {ours.cpu / peer.cpu:.3f}  "
                f"({peer.cpu / ours.cpu:.1f} x)"
            )
    print(flush=True)


if __name__ == "__main__":
    main()
