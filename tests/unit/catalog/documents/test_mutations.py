"""The example catalog, spoilt in random places: the readers agree, and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import Reader
from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from tests.laws import examples

ROOT = Path(__file__).resolve().parents[4] / "catalog-example"
FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*.yaml"))
}
PIECES = st.sampled_from(
    [*"\n :-,[]{}'\"#|>?_.0eExX+=é\t\0", "\n- ", "  ", ": ", "- ", "''", "[]", "{}", " #", " |\n",
     " >\n", "? ", "!x ",
     "&a ", "*a", "<<: ", "---\n", "...\n", "1_0", "0x1", ".5", "null", "~", "true", "1", "${X}",
     "${", "$${", "../../x",
     "[a]: b", "http://127.0.0.1"]
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(sorted(FILES)),
        st.floats(0, 1),
        st.sampled_from(["insert", "cut", "value", "drop"]),
        PIECES,
    ),
    min_size=1,
    max_size=4,
)
Edit = tuple[str, float, str, str]


def spoil(edits: list[Edit]) -> dict[str, bytes]:
    files = dict(FILES)
    for path, where, action, piece in edits:
        text = files[path]
        at = int(where * len(text))
        line_end = text.find("\n", at)
        if action == "insert":
            text = text[:at] + piece + text[at:]
        elif action == "cut":
            text = text[:at] + text[at + 3 :]
        elif action == "value":
            colon = text.rfind(": ", 0, max(line_end, 0))
            text = text[: colon + 2] + piece + text[line_end:] if 0 <= colon < line_end else text
        else:
            text = text[:at] + text[line_end + 1 :] if line_end >= 0 else text
        files[path] = text
    return {path: text.encode() for path, text in files.items()}


@examples(150)
@given(EDITS)
def test_a_spoilt_catalog_is_read_without_raising(edits: list[Edit]) -> None:
    files = spoil(edits)
    tree = FolderTree({path: blob_id(data) for path, data in files.items()}, files, ())
    catalog = Reader(gateway_types=gateway_types()).read(tree)
    assert catalog == Reader(gateway_types=gateway_types()).read(tree)
    assert {diagnostic.source.path for diagnostic in catalog.diagnostics} <= set(files)


@examples(300)
@given(EDITS)
@example([("catalog.yaml", 1.0, "insert", "[a]: b")])
def test_spoilt_documents_mean_the_same_to_both_readers(edits: list[Edit]) -> None:
    files = spoil(edits)
    for path, *_ in edits:
        quick = parse_quickly(files[path])
        if quick is not None:
            (slow,) = read_documents(files[path])
            assert slow.root is not None
            assert json.dumps(quick.value, sort_keys=True) == json.dumps(
                slow.root.tree(), sort_keys=True
            )
