"""Start of the command line, as whole processes.

Peers: the bare interpreter for `--help`, `explain` and `completion`; for `validate`, a loop that
loads the same documents with ruamel.yaml and checks them with jsonschema, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Lane, show
from benchmarks.validate_many import write_schemas

RUNS = 15
ROOT = Path(__file__).resolve().parent.parent

PLAIN_LOOP = """
import json, pathlib, sys
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
root, schemas = map(pathlib.Path, sys.argv[1:])
checks = {}
for path in sorted(root.rglob("*.yaml")):
    for document in YAML(typ="rt").load_all(path):
        kind = (document or {}).get("kind")
        if kind:
            if kind not in checks:
                text = (schemas / f"{kind.lower()}.json").read_text()
                checks[kind] = Draft202012Validator(json.loads(text))
            list(checks[kind].iter_errors(document))
"""


def run(lane: Lane, command: list[str]) -> None:
    """Time one whole process."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    lane.seconds.append(time.perf_counter() - start)
    lane.errors += done.returncode != 0


def paired(ours: Lane, command: list[str], peer: Lane, other: list[str]) -> list[Lane]:
    """Run both in turn, so that a machine that slows down slows both."""
    for _ in range(RUNS):
        run(ours, command)
        run(peer, other)
    return [ours, peer]


def main() -> None:
    program = str(Path(sys.executable).parent / "stoa-gitops")
    for words in (["--help"], ["explain", "API.spec.backend"], ["completion", "bash"]):
        show(
            f"start: {' '.join(words)}",
            paired(
                Lane(f"stoa-gitops {' '.join(words)}"),
                [program, *words],
                Lane("python -c pass"),
                [sys.executable, "-c", "pass"],
            ),
            "<= 150 ms",
        )
    with tempfile.TemporaryDirectory() as folder:
        schemas = write_schemas(Path(folder) / "schemas")
        show(
            "start: validate --catalog catalog-example",
            paired(
                Lane("stoa-gitops validate"),
                [program, "validate", "--catalog", "catalog-example"],
                Lane("plain ruamel + jsonschema loop"),
                [sys.executable, "-c", PLAIN_LOOP, "catalog-example", str(schemas)],
            ),
            "<= 600 ms",
        )


if __name__ == "__main__":
    main()
