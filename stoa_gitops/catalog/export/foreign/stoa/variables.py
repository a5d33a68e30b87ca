"""Variables of STOA's trees: `${BASE_DOMAIN}`, `${NAME:default}`, and `vault:` references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.translation import Translation
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import Text

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-?([^}]*))?\}")
_DEFAULTS: Final[Mapping[str, str]] = {"BASE_DOMAIN": "gostoa.dev"}
"""What STOA's own roles take where nobody says otherwise (`ansible/reconcile-webmethods`)."""


class Variables:
    """Takes variables over where every environment of the catalog has them, or gets them.

    given         values that a person gives, by name
    environments  those of the catalog's gateways
    """

    def __init__(
        self,
        translation: Translation,
        tree: Tree,
        environments: Iterable[str],
        given: Mapping[str, str],
    ) -> None:
        self._translation = translation
        self._environments = sorted(set(environments))
        self._given = given
        self._known = {name: _variables_of(tree, name) for name in self._environments}
        self._made: dict[str, dict[str, str]] = {}

    def resolve(self, value: Any) -> Any:
        """Return a value in which the variables of its texts are those of a catalog."""
        if isinstance(value, str):
            return _VARIABLE.sub(self._replace, value)
        if isinstance(value, Mapping):
            return {str(name): self.resolve(item) for name, item in value.items()}
        return [self.resolve(item) for item in value] if isinstance(value, list) else value

    def write_environments(self) -> None:
        """Add the environments that the catalog has not, with the variables that are used."""
        for name, values in self._made.items():
            self._translation.add(
                "Environment", "", name, {"variables": dict(sorted(values.items()))}
            )

    def _replace(self, match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        lacking = [one for one, held in self._known.items() if held is None or name not in held]
        if not lacking and self._environments:
            return match[0] if default is None else f"${{{name}:-{default}}}"
        value = self._given.get(name, _DEFAULTS.get(name, default))
        if value is None:
            raise UsageError(f"the tree names ${{{name}}}: give its value with --variable {name}=…")
        is_new = all(self._known[one] is None for one in lacking)
        if is_new and self._environments:
            for one in lacking:
                self._made.setdefault(one, {})[name] = value
            return f"${{{name}}}"
        # A person's own document is not edited: the value stands in the place of the variable.
        self._note(name, value, lacking)
        return value

    def _note(self, name: str, value: str, lacking: list[str]) -> None:
        where = ", ".join(f"environments/{one}.yaml" for one in lacking) or "the catalog"
        effect = f"written out, for {where} has no such variable"
        entry = ("variable", name, value, effect)
        if not any((one.what, one.field) == entry[:2] for one in self._translation.unmapped):
            self._translation.leave_out(*entry)


def vault_reference(text: str) -> dict[str, str] | None:
    """Return the reference for `vault:path`, its last part as the key; None for another text.

    STOA's references name no key: each secret has a path of its own.
    """
    if not text.startswith("vault:"):
        return None
    path, hash_sign, key = text.removeprefix("vault:").partition("#")
    if not hash_sign:
        path, _, key = path.rpartition("/")
    return {"vault": f"{path}#{key}"} if path and key else None


def _variables_of(tree: Tree, environment: str) -> frozenset[str] | None:
    """Return the names that an environment's document has; None where there is no document."""
    for suffix in ("yaml", "yml"):
        path = f"environments/{environment}.{suffix}"
        if path in tree.files:
            try:
                root = Text(tree.read(path), path).root
            except UsageError:
                return frozenset()
            spec = root.get("spec") if isinstance(root, dict) else None
            values = spec.get("variables") if isinstance(spec, dict) else None
            return frozenset(values) if isinstance(values, dict) else frozenset()
    return None
