"""Reading the catalog for a command, and refusing to go on with a broken one."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stoa_gitops.adapters.registry import losses, reserved, unsupported
from stoa_gitops.catalog import Reader, Source, Tree, open_source
from stoa_gitops.cli.fast_exit import leaving
from stoa_gitops.cli.progress import shown
from stoa_gitops.cli.terminal import error_style
from stoa_gitops.errors import CatalogInvalid, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.report.findings import diagnostics_text


def state_folder(options: Namespace) -> Path:
    """Return the state folder that is asked for, or the user's own."""
    from stoa_gitops.state_folder.runtime_file import default_folder

    given = getattr(options, "state", None)
    return Path(given) if given else default_folder(os.environ)


def source_of(options: Namespace, revision: str | None = None) -> Source:
    """Open what `--catalog` and `--revision` name; credentials come from the environment."""
    token = os.environ.get("STOA_GIT_TOKEN_FILE")
    key = os.environ.get("STOA_GIT_SSH_KEY_FILE")
    return open_source(
        options.catalog,
        revision=revision or options.revision,
        cache_dir=state_folder(options) / "catalogs",
        token_file=Path(token) if token else None,
        ssh_key_file=Path(key) if key else None,
    )


def read(options: Namespace, revision: str | None = None) -> tuple[Catalog, str]:
    """Read the catalog; return it and its folder inside its repository (empty at the root)."""
    catalog, tree, _ = _read(options, revision)
    return catalog, tree.prefix


def read_only(options: Namespace) -> tuple[Catalog, str]:
    """Do as `read` for a command that does nothing else: what was read is held until the process ends."""
    catalog, tree, reader = _read(options, None)
    leaving.hold(catalog, tree, reader)
    return catalog, tree.prefix


def _read(options: Namespace, revision: str | None) -> tuple[Catalog, Tree, Reader]:
    with shown("Reading the catalog"), _kept_to_the_end():
        tree = source_of(options, revision).snapshot()
        reader = Reader(unsupported=unsupported, losses=losses, reserved=reserved)
        return reader.read(tree), tree, reader


@contextmanager
def _kept_to_the_end() -> Iterator[None]:
    """Spare the cycle collector what a command reads: it lives as long as the command, and looking at it is a tenth of it."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def read_valid(options: Namespace, revision: str | None = None) -> Catalog:
    """Read the catalog; CatalogInvalid when it has errors and `--keep-going` is not given.

    Findings go to stderr: the result of the command is something else.
    """
    catalog, _ = read(options, revision)
    if catalog.diagnostics:
        text = diagnostics_text(
            catalog.diagnostics,
            error_style(),
            documents=catalog.documents,
            prefix=from_here(options),
        )
        sys.stderr.write(text)
    if catalog.errors and not options.keep_going:
        raise CatalogInvalid(
            "the catalog is invalid, so nothing was planned; mend it, or go on with what is valid "
            "of it by --keep-going"
        )
    check_filters(catalog, options)
    return catalog


def from_here(options: Namespace) -> str:
    """Return the catalog's folder as seen from the current one, so that an editor opens the paths of findings.

    Empty for a repository elsewhere: its paths are its own.
    """
    folder = Path(options.catalog)
    if not folder.is_dir():
        return ""
    try:
        return Path(os.path.relpath(folder.resolve(), Path.cwd().resolve())).as_posix()
    except (OSError, ValueError):
        return ""


def gateways_of(options: Namespace) -> frozenset[str] | None:
    """Return the gateways that `--catalog` and `--tenant` leave; None where neither narrows.

    A tenant is looked up in the catalog, the current folder where none is named.
    """
    tenant = getattr(options, "tenant", None)
    if not options.catalog and not tenant:
        return None
    options.catalog = options.catalog or "."
    catalog, _ = read(options)
    if tenant:
        _known("tenant", tenant, set(catalog.tenants))
    return frozenset(
        name
        for name, desired in catalog.desired.items()
        if not tenant or any(key.tenant == tenant for key in desired.resources)
    )


def check_filters(catalog: Catalog, options: Namespace) -> None:
    """Raise UsageError for a `--gateway`, `--env` or `--tenant` that the catalog does not have."""
    gateways = {gateway.name for gateway in catalog.gateways}
    environments = {gateway.environment for gateway in catalog.gateways}
    for name in options.gateway or ():
        _known("gateway", name, gateways)
    if options.env:
        _known("environment", options.env, environments)
    if options.tenant:
        _known("tenant", options.tenant, set(catalog.tenants))


def _known(noun: str, name: str, names: set[str]) -> None:
    if name not in names:
        there = ", ".join(sorted(names)) or "none"
        raise UsageError(f"the catalog has no {noun} {name!r}; there is: {there}")
