"""Resolves secret references from the environment and from files.

Nothing is cached, so a rotated file is used at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stoa_gitops.errors import SecretRefused, SecretUnresolved, SecretUnsuitable
from stoa_gitops.model.canonical import SECRET_FIELD, Json, secret_paths
from stoa_gitops.model.secret import Secret, SecretRef, Value
from stoa_gitops.model.secret_rights import SecretRights, TenantSecrets
from stoa_gitops.secrets.files import MAX_BYTES, read_checked
from stoa_gitops.secrets.forms import REMEDY, SecretForm, find_flaw, form_at
from stoa_gitops.secrets.permission import absolute, find_file_refusal, find_refusal
from stoa_gitops.secrets.places import SecretPlaces


class SecretResolver:
    """Resolves references for this process, each for the document that has it.

    places  the folders that decide which files may be read
    env     the environment variables
    """

    def __init__(self, places: SecretPlaces, env: Mapping[str, str]) -> None:
        self._places = places
        self._env = env

    def __repr__(self) -> str:
        return f"SecretResolver({self._places})"

    def resolve(
        self, reference: SecretRef, rights: TenantSecrets, form: SecretForm = SecretForm.FIELD
    ) -> Secret:
        """Return the value of a reference in a document; reads at most one small file.

        Raises SecretRefused where the document may not use it, SecretUnresolved where it leads
        nowhere, SecretUnsuitable where the value cannot be sent in its form; all name the reference
        and the next step, never a value.
        """
        value = self._find(reference, rights)
        flaw = find_flaw(value.reveal(), form)
        if flaw:
            raise SecretUnsuitable(f"{reference.shown}: the value {flaw}; {REMEDY[form]}")
        return value

    def _find(self, reference: SecretRef, rights: TenantSecrets) -> Secret:
        refusal = find_refusal(reference, rights, self._places)
        if refusal is not None:
            raise SecretRefused(f"{reference.shown}: {refusal.message}; {refusal.hint}")
        if reference.scheme == "env":
            return self._from_env(reference)
        if reference.scheme == "file":
            return self._from_file(reference, rights)
        raise SecretUnresolved(
            f"{reference.shown}: references to {reference.scheme} are not available in this "
            "version; use env:NAME or file:/path"
        )

    def resolve_all(
        self, references: Iterable[tuple[str, str]], rights: SecretRights
    ) -> dict[str, Secret | None]:
        """Return the value of each reference, None for those that do not resolve.

        References come as (tenant of the document, text), the tenant empty for the operator's. One
        that several tenants have is resolved if one of them may use it.
        """
        values: dict[str, Secret | None] = {}
        for tenant, text in references:
            if values.get(text) is None:
                try:
                    values[text] = self._find(_parse_reference(text), rights.of(tenant))
                except SecretUnresolved:
                    values[text] = None
        return values

    def resolve_tree(
        self, value: Json, rights: TenantSecrets, *, is_lenient: bool = False
    ) -> Value:
        """Return a tree of a document with a Secret in place of each reference.

        Raises SecretRefused, or SecretUnresolved with all references that do not resolve
        (SecretUnsuitable where all lead to something); with `is_lenient` these are None, for
        mappers that can do without them (a fallback).
        """
        values: dict[str, Secret | None] = {}
        errors: dict[str, SecretUnresolved] = {}
        for path, text in sorted(secret_paths(value), key=lambda found: found[1]):
            try:
                reference = _parse_reference(text)
                values[text] = self.resolve(reference, rights, form_at(value, path))
            except SecretRefused:
                raise
            except SecretUnresolved as error:
                values[text] = None
                errors[str(error)] = error
        if errors and not is_lenient:
            kinds = {type(error) for error in errors.values()}
            kind = kinds.pop() if len(kinds) == 1 else SecretUnresolved
            raise kind("; ".join(errors))
        return _fill_in(value, values)

    def _from_env(self, reference: SecretRef) -> Secret:
        value = self._env.get(reference.locator)
        if value is None:
            name = reference.locator if reference.is_plain else "it"
            raise SecretUnresolved(
                f"{reference.shown}: the variable is not set; "
                f"set {name} in the environment of this process"
            )
        if not value:
            raise SecretUnresolved(f"{reference.shown}: the variable is empty; give it a value")
        return Secret(value)

    def _from_file(self, reference: SecretRef, rights: TenantSecrets) -> Secret:
        path = absolute(reference.locator, self._places)
        if path is None:
            raise SecretUnresolved(
                f"{reference.shown}: a relative path has nothing to be relative to; "
                "write an absolute one"
            )

        def check(real: str) -> None:
            refusal = find_file_refusal(reference, real, rights, self._places)
            if refusal is not None:
                raise SecretRefused(f"{reference.shown}: {refusal.message}; {refusal.hint}")

        try:
            raw = read_checked(path, check, self._places.state)
        except (OSError, ValueError) as error:
            message = getattr(error, "strerror", None) or str(error)
            raise SecretUnresolved(
                f"{reference.shown}: cannot be read ({message}); "
                "put the secret there and let this user read it"
            ) from None
        return Secret(_text(reference, raw))


def _parse_reference(text: str) -> SecretRef:
    try:
        return SecretRef.parse(text)
    except ValueError as error:
        raise SecretUnresolved(str(error)) from None


def _text(reference: SecretRef, raw: bytes) -> str:
    """Decode a file's content without the newline at its end."""
    if len(raw) > MAX_BYTES:
        raise SecretUnresolved(
            f"{reference.shown}: is larger than {MAX_BYTES >> 10} KiB; "
            "name the file that holds the secret alone"
        )
    # Replaced rather than caught: UnicodeDecodeError would carry the bytes of the secret.
    text = raw.decode("utf-8", "replace")
    if "\ufffd" in text:
        raise SecretUnresolved(f"{reference.shown}: is not UTF-8 text; write the secret as text")
    # Editors and `echo` end a file with one line break that is not part of the secret.
    text = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise SecretUnresolved(f"{reference.shown}: the file is empty; write the secret into it")
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
