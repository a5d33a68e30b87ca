"""Resolves secret references from the environment and from files.

Nothing is cached, so a rotated file is used at once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import SECRET_FIELD, Json, secret_paths
from stoa_gitops.model.secret import Secret, SecretRef

Value: TypeAlias = "Json | Secret | Sequence[Value] | Mapping[str, Value]"
"""A canonical tree with Secret objects where references stood."""

# A larger file is a mistake: a chain of certificates has some 10 KiB.
MAX_BYTES: Final = 64 << 10


class SecretResolver:
    """Resolves references for this process; a catalog cannot decide where relative paths start.

    base  folder that relative file paths start from; None: they do not resolve
    env   the environment variables
    """

    def __init__(self, base: Path | None, env: Mapping[str, str]) -> None:
        self._base = base
        self._env = env

    def __repr__(self) -> str:
        return f"SecretResolver(base={self._base!s})"

    def resolve(self, reference: SecretRef) -> Secret:
        """Return the value of a reference; reads at most one small file.

        Raises SecretUnresolved naming the reference and the next step, never a value.
        """
        if reference.scheme == "env":
            return self._from_env(reference)
        if reference.scheme == "file":
            return self._from_file(reference)
        raise SecretUnresolved(
            f"{reference}: references to {reference.scheme} are not available in this version; "
            "use env:NAME or file:/path"
        )

    def resolve_all(self, references: Iterable[str]) -> dict[str, Secret | None]:
        """Return the value of each reference given as text, None for those that do not resolve."""
        values: dict[str, Secret | None] = {}
        for text in references:
            try:
                values[text] = self.resolve(_parse_reference(text))
            except SecretUnresolved:
                values[text] = None
        return values

    def resolve_tree(self, value: Json, *, is_lenient: bool = False) -> Value:
        """Return a tree with a Secret in place of each reference.

        Raises SecretUnresolved with all references that do not resolve; with `is_lenient` they are
        None, for mappers that can do without them (a fallback).
        """
        values: dict[str, Secret | None] = {}
        errors: list[str] = []
        for text in sorted({text for _, text in secret_paths(value)}):
            try:
                values[text] = self.resolve(_parse_reference(text))
            except SecretUnresolved as error:
                values[text] = None
                errors.append(str(error))
        if errors and not is_lenient:
            raise SecretUnresolved("; ".join(errors))
        return _fill_in(value, values)

    def _from_env(self, reference: SecretRef) -> Secret:
        value = self._env.get(reference.locator)
        if value is None:
            raise SecretUnresolved(
                f"{reference}: the variable is not set; "
                f"set {reference.locator} in the environment of this process"
            )
        if not value:
            raise SecretUnresolved(f"{reference}: the variable is empty; give it a value")
        return Secret(value)

    def _from_file(self, reference: SecretRef) -> Secret:
        path = Path(reference.locator)
        if not path.is_absolute():
            if self._base is None:
                raise SecretUnresolved(
                    f"{reference}: a relative path has nothing to be relative to; "
                    "write an absolute one"
                )
            path = self._base / path
        try:
            raw = _read(path)
        except (OSError, ValueError) as error:
            message = getattr(error, "strerror", None) or str(error)
            raise SecretUnresolved(
                f"{reference}: cannot be read ({message}); "
                "put the secret there and let this user read it"
            ) from None
        return Secret(_text(reference, raw))


def _parse_reference(text: str) -> SecretRef:
    try:
        return SecretRef.parse(text)
    except ValueError as error:
        raise SecretUnresolved(str(error)) from None


def _read(path: Path) -> bytes:
    """Read a regular file up to one byte over the limit; refuse pipes and devices."""
    # O_NONBLOCK: opening a pipe without a writer would wait for one.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        # Checked on the open file: a path may be replaced between two calls.
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        return file.read(MAX_BYTES + 1)


def _text(reference: SecretRef, raw: bytes) -> str:
    """Decode a file's content without the newline at its end."""
    if len(raw) > MAX_BYTES:
        raise SecretUnresolved(
            f"{reference}: is larger than {MAX_BYTES >> 10} KiB; "
            "name the file that holds the secret alone"
        )
    # Replaced rather than caught: UnicodeDecodeError would carry the bytes of the secret.
    text = raw.decode("utf-8", "replace")
    if "\ufffd" in text:
        raise SecretUnresolved(f"{reference}: is not UTF-8 text; write the secret as text")
    # Editors and `echo` end a file with a line break that is not part of the secret.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnresolved(f"{reference}: the file is empty; write the secret into it")
    return text


def _fill_in(value: Json, values: Mapping[str, Secret | None]) -> Value:
    if isinstance(value, Mapping):
        reference = value.get(SECRET_FIELD)
        if isinstance(reference, str) and len(value) == 1:
            return values[reference]
        return {name: _fill_in(item, values) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill_in(item, values) for item in value]
    return value
