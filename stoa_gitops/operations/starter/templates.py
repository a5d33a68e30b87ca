"""Makes the files of a new catalog; pure but for reading the templates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from stoa_gitops import __version__
from stoa_gitops.catalog import kind_names
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.operations.starter.choices import StarterChoices

SCHEMAS: Final = ".schemas"
"""Folder of the schemas for editors: hidden, so that no catalog reads it."""

ALL_KINDS: Final = "stoa-gitops.json"
"""File with the schema of every kind."""

KEYS: Final = ".env"
"""File with the key of the first application; Git leaves it out."""

_FILES: Final = Path(__file__).parent / "files"
_CI: Final = {"github": ".github/workflows/catalog.yaml", "gitlab": ".gitlab-ci.yml"}
_FIRST_LINES: Final = "# yaml-language-server: $schema={schema}\napiVersion: gostoa.dev/v1alpha1\n"


def catalog_files(choices: StarterChoices, key: str) -> dict[str, str]:
    """Return the texts of the catalog's own files by their paths; `key` goes into KEYS alone."""
    values = {
        "name": choices.name,
        "tenant": choices.tenant,
        "tenant_title": _title(choices.tenant),
        "api": choices.api,
        "api_title": _title(choices.api),
        "backend": _backend(choices.backend),
        "allowed": _allowed(choices.backends_allowed),
        "key_variable": choices.key_variable,
    }
    tenant = f"tenants/{choices.tenant}"
    documents = {
        "catalog.yaml": "catalog",
        "gateways/local.yaml": "gateway",
        f"{tenant}/tenant.yaml": "tenant",
        f"{tenant}/apis/{choices.api}/api.yaml": "api",
        f"{tenant}/applications/web.yaml": "application",
    }
    texts = {path: _document(path, name, values) for path, name in documents.items()}
    texts["README.md"] = _filled("README.md", values)
    texts[".gitignore"] = _filled("gitignore", values)
    texts[KEYS] = _filled("env", {**values, "key": key})
    texts[".vscode/extensions.json"] = _json({"recommendations": ["redhat.vscode-yaml"]})
    texts[".vscode/settings.json"] = _json(editor_settings())
    return texts | {f"{SCHEMAS}/{name}": text for name, text in schema_files().items()}


def repository_files(choices: StarterChoices, folder: str) -> dict[str, str]:
    """Return the files at the root of the repository: the CI job and the hooks.

    `folder` is that of the catalog in the repository, empty at its root.
    """
    texts = {".pre-commit-config.yaml": _hooks(folder)}
    path = _CI.get(choices.ci)
    if path is not None:
        text = _read(
            PurePosixPath(path).name.lstrip(".") if choices.ci == "gitlab" else "github.yaml"
        )
        texts[path] = _with_folder(text.replace("@version@", __version__), folder)
    return texts


def schema_files() -> dict[str, str]:
    """Return the schemas for editors by file name: of each kind, and of all; and their index.

    They take `${NAME}`, and know the configs of policies. None needs another file.
    """
    from stoa_gitops.adapters.registry import gateway_types
    from stoa_gitops.catalog.documents.editor_schema import editor_schema, kind_editor_schema

    whole = editor_schema(kind_set(gateway_types()).schemas)
    texts = {
        f"{kind.lower()}.json": _json(kind_editor_schema(whole, kind)) for kind in kind_names()
    }
    return texts | {ALL_KINDS: _json(whole), "index.json": _json(schema_index())}


def schema_index() -> dict[str, object]:
    """Return the entry of a schema catalog, in the form that SchemaStore and editors read."""
    homes = kind_set().layout.homes.values()
    patterns = {f"**/{re.sub(r'<[a-z]+>', '*', home.pattern)}" for home in homes}
    entry = {
        "name": "stoa-gitops",
        "description": "Documents of a catalog of stoa-gitops",
        "fileMatch": sorted(patterns),
        "url": f"./{ALL_KINDS}",
    }
    return {
        "$schema": "https://json.schemastore.org/schema-catalog.json",
        "version": 1,
        "schemas": [entry],
    }


def editor_settings() -> dict[str, object]:
    """Return settings of VS Code that find the schema of a document by its path."""
    globs = {
        f"./{SCHEMAS}/{kind.lower()}.json": re.sub(r"<[a-z]+>", "*", home.pattern)
        for kind, home in kind_set().layout.homes.items()
    }
    return {
        "yaml.schemas": globs,
        "yaml.format.enable": False,
        "files.associations": {"*.plan": "json"},
    }


def _document(path: str, name: str, values: Mapping[str, str]) -> str:
    up = "../" * path.count("/")
    text = _filled(f"{name}.yaml", values)
    kind = re.search(r"^kind: (\w+)", text, re.MULTILINE)
    assert kind is not None
    return _FIRST_LINES.format(schema=f"{up}{SCHEMAS}/{kind[1].lower()}.json") + text


def _backend(url: str) -> str:
    # JSON's strings are YAML's, so that no character of the URL means anything else.
    return f"url: {json.dumps(url)}" if url else "alias: echo  # built in: answers with the request"


def _allowed(networks: Sequence[str]) -> str:
    if not networks:
        return ""
    line = f"  backends: {{allow: [{', '.join(json.dumps(one) for one in networks)}]}}\n"
    return f"  # For a backend on this machine, which a gateway does not reach otherwise.\n{line}"


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _hooks(folder: str) -> str:
    return _read("pre-commit.yaml").replace("@folder@", re.escape(f"{folder}/") if folder else "")


def _with_folder(text: str, folder: str) -> str:
    """Add where the catalog is to a CI file whose first variable is PACKAGE."""
    lines = _with_line_after(
        text.splitlines(), "PACKAGE:", f"STOA_GITOPS_CATALOG: {json.dumps(folder)}"
    )
    return "\n".join(lines if folder else text.splitlines()) + "\n"


def _with_line_after(lines: list[str], start: str, line: str) -> Iterator[str]:
    for text in lines:
        yield text
        if text.lstrip().startswith(start):
            yield text[: len(text) - len(text.lstrip())] + line


def _filled(name: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@([a-z_]+)@", lambda found: values[found[1]], _read(name))


def _read(name: str) -> str:
    return (_FILES / name).read_text("utf-8")


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
