"""Makes the pages about kinds of documents, docs/spec/<kind>.md, from the schemas.

`python -m stoa_gitops.operations.reference_docs` writes them; a test asserts that they are current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stoa_gitops.catalog.documents.schema_tree import Schema, follow
from stoa_gitops.catalog.documents.schema_words import default_words, type_words
from stoa_gitops.catalog.documents.schemas import OPTIONS, Schemas

_HEAD = "| field | type | default | meaning |\n|---|---|---|---|"


def pages(schemas: Schemas) -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {f"{kind.lower()}.md": _page(kind, schemas) for kind in schemas.kinds} | {
        "README.md": _contents(schemas)
    }


def _contents(schemas: Schemas) -> str:
    origin = "Written from `schemas/v1alpha1` by `python -m stoa_gitops.operations.reference_docs`"
    lines = [
        "# Documents of a catalog",
        "",
        f"{origin}; change the schemas, not these pages.",
        "",
        "| kind | file | |",
        "|---|---|---|",
    ]
    for kind in schemas.kinds:
        root = schemas.complete_schema(kind)
        lines.append(
            f"| [{kind}]({kind.lower()}.md) | `{root['x-place']}` | {root['description']} |"
        )
    return "\n".join(lines) + "\n"


def _page(kind: str, schemas: Schemas) -> str:
    root = schemas.complete_schema(kind)
    place = f"File: `{root['x-place']}`. `*` marks what must be written."
    lines = [f"# {kind}", "", root["description"], "", place, "", _HEAD, *_rows(root, root)]
    for title, name in _parts(kind, schemas):
        config = schemas.complete_schema(name)
        lines += ["", f"## {title}", "", config["description"], "", _HEAD, *_rows(config, config)]
    return "\n".join(lines) + "\n"


def _parts(kind: str, schemas: Schemas) -> Iterator[tuple[str, str]]:
    """Yield the headings and schemas of what stands in a field of a kind: policy configs, options
    of gateway types.
    """
    if kind == "Policy":
        yield from ((f"`{name}`", name) for name in schemas.policy_types)
    if kind == "GatewayInstance":
        yield from ((f"`options` of `{name}`", f"{OPTIONS}{name}") for name in schemas.option_types)


def _rows(node: Schema, root: Schema, above: str = "") -> Iterator[str]:
    required = node.get("required", [])
    for name, item in node.get("properties", {}).items():
        field = follow(item, root)
        path = f"{above}{name}"
        words = default_words(field)
        default = f"`{words}`" if words else ""
        mark = "*" if name in required else ""
        text = str(field.get("description") or field.get("title", "")).replace("|", "\\|")
        yield f"| `{path}`{mark} | {type_words(field, root, '`')} | {default} | {text} |"
        # A reference has the same four fields everywhere; a page would repeat them each time.
        if field.get("x-canonical") != "secret":
            yield from _below(field, root, path)


def _below(field: Schema, root: Schema, path: str) -> Iterator[str]:
    if "properties" in field:
        yield from _rows(field, root, f"{path}.")
    items = follow(field.get("items", {}), root)
    if "properties" in items:
        yield from _rows(items, root, f"{path}[].")
    # A mapping whose names are the reader's own: `spec.tenants.<name>.env`.
    rest = field.get("additionalProperties")
    if isinstance(rest, dict) and "properties" in rest:
        yield from _rows(rest, root, f"{path}.<name>.")


def write(folder: Path, schemas: Schemas) -> None:
    """Write every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(schemas).items():
        (folder / name).write_text(text, encoding="utf-8")
