"""`fmt` of 10,000 API documents, as whole processes: documents that are to be rewritten, and the
same ones once they are formatted.

Peer: a loop that loads each document with ruamel.yaml for a round trip and dumps it again, which
keeps comments and the order of keys as they are, and proves nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.validate_many import ROOT, line, run

NUMBER = 10_000
RUNS = 3
PEER_NUMBER = 1_000

ROUND_TRIP = """
import io, pathlib, sys
from ruamel.yaml import YAML
for path in sorted(pathlib.Path(sys.argv[1]).rglob("api.yaml")):
    yaml = YAML(typ="rt")
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(yaml.load(path.read_text()), text)
    path.write_text(text.getvalue())
"""


def generate(folder: Path, number: int) -> Path:
    """Make a catalog of that many APIs, in another form than that of `fmt`."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.gen_catalog", str(folder), "--apis", str(number)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for path in folder.rglob("api.yaml"):
        # Single quotes, and keys in another order, so that each document is rewritten.
        head, _, spec = path.read_text().replace('"', "'").partition("spec:\n")
        path.write_text(f"spec:\n{spec.rstrip()}\n{head}")
    return folder


def main() -> None:
    program = str(Path(sys.executable).parent / "stoa-gitops")
    print(f"fmt of {NUMBER:,} documents   (to reach: <= 10 s CPU)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        catalogs = [generate(Path(folder) / str(each), NUMBER) for each in range(RUNS)]
        rewritten = line(
            "fmt, each is rewritten", NUMBER, [run([program, "fmt", str(one)]) for one in catalogs]
        )
        line(
            "fmt --check, none would be",
            NUMBER,
            [run([program, "fmt", "--check", str(one)]) for one in catalogs],
        )
        small = generate(Path(folder) / "peer", PEER_NUMBER)
        peer = line(
            "peer: ruamel round trip",
            PEER_NUMBER,
            [run([sys.executable, "-c", ROUND_TRIP, str(small)])],
        )
        ratio = (rewritten.cpu / NUMBER) / (peer.cpu / PEER_NUMBER)
        print(f"  ratio fmt / peer, per document: {ratio:.3f}  ({1 / ratio:.1f} x)")
    print(flush=True)


if __name__ == "__main__":
    main()
