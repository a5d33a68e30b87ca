"""Reads the catalog that a command names, and refuses to go on with an invalid one."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stoa_gitops.catalog import Source, open_source
from stoa_gitops.cli.fast_exit import fast_exit
from stoa_gitops.cli.flags import selection
from stoa_gitops.cli.progress import shown
from stoa_gitops.cli.terminal import error_style
from stoa_gitops.errors import CatalogInvalid, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.validate import (
    CatalogReading,
    check_selection,
    gateways_of_tenant,
    read_catalog,
)
from stoa_gitops.report.findings import diagnostics_text


def state_folder(options: Namespace) -> Path:
    """Return the folder of `--state`, or the user's own."""
    from stoa_gitops.state_folder.runtime_file import default_folder

    given = getattr(options, "state", None)
    return Path(given) if given else default_folder(os.environ)


def source_of(options: Namespace, revision: str | None = None) -> Source:
    """Open what `--catalog` and `--revision` name; credentials come from the environment."""
    # Not by settings.py: pydantic would cost every `validate` 0.1 s.
    token = os.environ.get("STOA_GIT_TOKEN_FILE")
    key = os.environ.get("STOA_GIT_SSH_KEY_FILE")
    return open_source(
        options.catalog,
        revision=revision or options.revision,
        cache_dir=state_folder(options) / "catalogs",
        token_file=Path(token) if token else None,
        ssh_key_file=Path(key) if key else None,
    )


def read(options: Namespace, revision: str | None = None) -> CatalogReading:
    """Read the catalog, valid or not."""
    with shown("Reading the catalog"), _spared_by_gc():
        return read_catalog(source_of(options, revision), state=state_folder(options))


def read_only(options: Namespace) -> CatalogReading:
    """Read for a command that does nothing else: what was read is held until the process ends."""
    reading = read(options)
    fast_exit.hold(reading)
    return reading


@contextmanager
def _spared_by_gc() -> Iterator[None]:
    """Keep the cycle collector away from what a command reads.

    It lives as long as the command, and collecting would be a tenth of the time of `validate`.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def read_valid(
    options: Namespace, on_invalid: Callable[[CatalogReading], None] = lambda _: None
) -> Catalog:
    """Read the catalog; CatalogInvalid when it has errors and `--keep-going` is not given.

    Findings go to stderr: the result of the command is something else. `on_invalid` is called
    before the error.
    """
    reading = read(options)
    catalog = reading.catalog
    if catalog.diagnostics:
        text = diagnostics_text(
            catalog.diagnostics,
            error_style(),
            documents=catalog.documents,
            prefix=path_from_here(options),
        )
        sys.stderr.write(text)
    if catalog.blocking_errors and not options.keep_going:
        on_invalid(reading)
        raise CatalogInvalid(
            "the catalog is invalid, so nothing was planned; fix it, or continue with its valid "
            "parts by --keep-going"
        )
    check_selection(catalog, selection(options))
    return catalog


def read_for_gateway(options: Namespace) -> tuple[Catalog, GatewayInstance]:
    """Read the catalog for a command about the gateway `options.name`; UsageError without it.

    What is broken elsewhere in the catalog does not matter to such a command.
    """
    options.gateway, options.tenant, options.keep_going = [options.name], None, True
    document = options.name.partition("/")[0]
    if document != options.name:
        raise UsageError(
            f"{options.name} registered itself: it fetches what is for it or is written by the "
            "running process, and has no objects of others to read here"
        )
    catalog = read_valid(options)
    instance = next(g for g in catalog.gateways if g.name == options.name)
    if instance.is_unbound:
        raise UsageError(
            f"{options.name} is about gateways that register themselves: there is no address to "
            "read objects from"
        )
    return catalog, instance


def path_from_here(options: Namespace) -> str:
    """Return the catalog's folder relative to the current one, so that editors open findings.

    Empty for a repository elsewhere: its paths are its own.
    """
    folder = Path(options.catalog)
    if not folder.is_dir():
        return ""
    try:
        return Path(os.path.relpath(folder.resolve(), Path.cwd().resolve())).as_posix()
    except (OSError, ValueError):  # ValueError: another drive on Windows
        return ""


def gateways_of(options: Namespace) -> frozenset[str] | None:
    """Return the gateways that `--catalog` and `--tenant` leave; None where neither is given.

    A tenant is looked up in the catalog, the current folder where none is named.
    """
    tenant = getattr(options, "tenant", None)
    if not options.catalog and not tenant:
        return None
    # --tenant alone: the flag of these commands has no default, because it narrows.
    options.catalog = options.catalog or "."
    return gateways_of_tenant(read(options).catalog, tenant)


def is_left(name: str, chosen: frozenset[str] | None) -> bool:
    """Whether `gateways_of` leaves a gateway: itself, or the document that took it."""
    return chosen is None or name.partition("/")[0] in chosen
