"""Decides whether a document may use a reference, and says what to write where it may not.

Asked twice: when a catalog is read, and for the file that is opened when a secret is resolved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import (
    PROGRAM_PREFIX,
    Refusal,
    TenantSecrets,
    variable_prefix,
)
from stoa_gitops.secrets.places import SETTING, SecretPlaces

_SYSTEM: Final = ("/proc", "/sys", "/dev")
"""Folders in which files are views of processes and devices."""


def find_refusal(
    reference: SecretRef, rights: TenantSecrets, places: SecretPlaces
) -> Refusal | None:
    """Return why a document may not use a reference; None when it may, set or not.

    Reads links of the file system, and no file.
    """
    if reference.scheme == "env":
        return _variable(reference, rights)
    if reference.scheme == "file":
        path = absolute(reference.locator, places)
        real = None if path is None else real_path(path)
        return None if real is None else find_file_refusal(reference, real, rights, places)
    if rights.is_operator:
        return None
    return Refusal(
        f"references to {reference.scheme} are not available to tenants in this version",
        f"write `{{env: {_example(rights)}}}`",
    )


def absolute(locator: str, places: SecretPlaces) -> Path | None:
    """Return the path of a reference, None for a relative one that has nowhere to start."""
    path = Path(locator)
    if path.is_absolute():
        return path
    return None if places.base is None else places.base / path


def real_path(path: Path) -> str | None:
    """Return a path with all links resolved, existing or not; None where no system has it."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # ValueError: a NUL
        return None


def find_file_refusal(
    reference: SecretRef, real: str, rights: TenantSecrets, places: SecretPlaces
) -> Refusal | None:
    """Return why a document may not read the file at a real path; None when it may."""
    if places.state is not None and _is_below(real, real_path(places.state)):
        text = "this file lies in the state folder, which holds this program's own secrets"
        return Refusal(text, "name a file elsewhere")
    if rights.is_operator:
        return None
    is_system = any(_is_below(real, folder) for folder in _SYSTEM)
    if not is_system and not rights.is_operators(reference) and not _names(real, rights, places):
        folders = [*rights.granted.files]
        if places.tenants is not None:
            folders.append(str(places.tenants / rights.tenant))
        if any(_is_below(real, real_path(Path(folder))) for folder in folders):
            return None
    return Refusal(f"this is no file of the tenant {rights.tenant}", _file_hint(rights, places))


def _names(real: str, rights: TenantSecrets, places: SecretPlaces) -> bool:
    """Whether a document of the operator names the file at a real path, by whatever spelling."""
    for text in rights.rights.operators:
        if text.startswith("file:"):
            path = absolute(text.removeprefix("file:"), places)
            if path is not None and real_path(path) == real:
                return True
    return False


def _is_below(path: str, folder: str | None) -> bool:
    if folder is None:
        return False
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _variable(reference: SecretRef, rights: TenantSecrets) -> Refusal | None:
    name = reference.locator
    if rights.may_use_variable(name):
        return None
    subject = name if reference.is_plain else "the variable"
    if name.startswith(PROGRAM_PREFIX):
        text = f"{subject} is a variable of this program, which no tenant reads"
    elif rights.is_operators(reference):
        text = f"{subject} is the operator's: one of his own documents refers to it"
    else:
        text = f"{subject} is no variable of the tenant {rights.tenant}"
        grant = name if reference.is_plain else "PREFIX_"
        return Refusal(
            text,
            f"name it {_example(rights)}, or the operator grants it in catalog.yaml: "
            f"`spec: {{tenants: {{{rights.tenant}: {{env: [{grant}]}}}}}}`",
        )
    return Refusal(text, f"name another one, such as {_example(rights)}")


def _example(rights: TenantSecrets) -> str:
    return f"{variable_prefix(rights.tenant)}…"


def _file_hint(rights: TenantSecrets, places: SecretPlaces) -> str:
    tenant = rights.tenant
    if places.tenants is None:
        own = f"the operator sets {SETTING}, below which the folder {tenant}/ is its own"
    else:
        own = f"name a file below {places.tenants / tenant}/"
    return (
        f"{own}, or the operator grants the folder in catalog.yaml: "
        f"`spec: {{tenants: {{{tenant}: {{files: [/FOLDER]}}}}}}`"
    )
