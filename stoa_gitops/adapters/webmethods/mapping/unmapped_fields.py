"""Fields of webMethods' objects that the canonical form of an object does not contain. Pure.

Found by compiling again what was read and comparing: drift that no canonical field shows. Values
that may be secrets are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stoa_gitops.adapters.webmethods.entities.actions import (
    HIDDEN,
    MISSING,
    PRESENT,
    differences,
)
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.marks import read_mark
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API

if TYPE_CHECKING:
    from stoa_gitops.adapters.webmethods.mapping.apis import CompiledApi

Fields = dict[str, Json]

UnmappedFields: TypeAlias = "Mapping[str, Mapping[str, Json]]"
"""`api`, `application` or a policy type -> webMethods' field, dotted -> the value that it holds."""

_ALIAS_DEFAULTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "keystoreAlias": ("", None),
    "keyAlias": ("", None),
    "truststoreAlias": ("", None),
    "suspendDurationOnFailure": (0, None, "0", ""),
    "stage": ("", None),
}
"""Fields of an endpoint alias that we leave alone -> the values that say nothing."""

_FOREIGN_ROUTES: Final = frozenset({"entryProtocolPolicy", "straightThroughRouting"})
"""Templates of every API, whose parameters a foreign one may have as it likes."""


def find_unmapped_fields(
    held: HeldApi,
    compiled: CompiledApi,
    policies: Mapping[str, Any],
    *,
    is_ours: bool = True,
) -> dict[str, Fields]:
    """Return the fields of an API's objects that no canonical field covers."""
    out: dict[str, Fields] = {}
    found = [*_action_differences(held, compiled, is_ours=is_ours)]
    if is_ours:
        found += [(API, *one) for one in _record_differences(held, compiled)]
        found += _alias_differences(held, compiled)
    found += [(API, *one) for one in _policy_differences(held)]
    for source, field, value in found:
        out.setdefault(source if source in policies else API, {})[field] = value
    return out


def _record_differences(held: HeldApi, compiled: CompiledApi) -> Iterator[tuple[str, Json]]:
    mark = read_mark(held.record.get("apiDescription"))
    wanted = read_mark(compiled.body["apiDescription"])
    if mark is None or wanted is None or mark.words != wanted.words:
        # Also where another version of this program makes another definition of the same document.
        yield "definition", HIDDEN
    maturity = compiled.body.get("maturityState")
    if maturity and held.record.get("maturityState") != maturity:
        yield "maturityState", str(held.record.get("maturityState"))
    definition = held.definition
    if definition is None:
        return
    if not definition.is_as_stored(compiled.content):
        # Texts, parameters, bodies or schemas; a print does not tell which.
        yield "definition.content", HIDDEN
    if compiled.operations is None:
        if compiled.printed != definition.printed:
            yield "definition.paths", HIDDEN
        return
    if compiled.printed == definition.printed:
        return
    for path, method in sorted(compiled.operations - definition.operations):
        yield f"definition.{path}.{method}", MISSING
    for path, method in sorted(definition.operations - compiled.operations):
        yield f"definition.{path}.{method}", PRESENT


def _policy_differences(held: HeldApi) -> Iterator[tuple[str, Json]]:
    policies = held.record.get("policies")
    for index in range(1, len(policies) if isinstance(policies, list) else 0):
        yield f"policies.{index}", PRESENT
    if held.record.get("scopes"):
        # Resources with policies of their own.
        yield "scopes", PRESENT
    yield from ((f"actions.{action}", "not there") for action in held.dangling)
    yield from ((f"actions.{action}", "in no policy") for action in held.strays)


def _action_differences(
    held: HeldApi, compiled: CompiledApi, *, is_ours: bool
) -> Iterator[tuple[str, str, Json]]:
    left = list(held.actions)
    for action in compiled.actions:
        other = next(
            (
                one
                for one in left
                if one.get("templateKey") == action.template and one.get("stage") == action.stage
            ),
            None,
        )
        at = f"{action.stage}.{action.template}"
        if other is None:
            if is_ours:
                yield action.source, at, MISSING
            continue
        left.remove(other)
        if is_ours or action.template not in _FOREIGN_ROUTES:
            found = differences(action.parameters, other.get("parameters"), at)
            yield from ((action.source, field, value) for field, value in found)
    for one in left:
        yield API, f"{one.get('stage')}.{one.get('templateKey')}", PRESENT


def _alias_differences(held: HeldApi, compiled: CompiledApi) -> Iterator[tuple[str, str, Json]]:
    for name, alias in compiled.aliases.items():
        source = "jwt" if alias["type"] == "authServerAlias" else API
        other = held.aliases.get(name)
        if other is None:
            yield source, f"alias.{name}", MISSING
            continue
        found = [*_field_differences(alias, other, f"alias.{name}")]
        found += [
            (f"alias.{name}.{field}", _shown(other.get(field)))
            for field, idle in _ALIAS_DEFAULTS.items()
            if other.get(field) not in idle
        ]
        yield from ((source, field, value) for field, value in found)
    for name in held.aliases.keys() - compiled.aliases.keys():
        yield API, f"alias.{name}", PRESENT
    yield from ((API, *one) for one in _path_differences(held, compiled))


def _field_differences(
    wanted: Mapping[str, Any], held: Mapping[str, Any], at: str
) -> Iterator[tuple[str, Json]]:
    for field, value in wanted.items():
        other = held.get(field)
        if isinstance(value, Mapping):
            inner = other if isinstance(other, Mapping) else {}
            yield from _field_differences(value, inner, f"{at}.{field}")
        elif not _is_same(value, other):
            yield f"{at}.{field}", _shown(other)


def _path_differences(held: HeldApi, compiled: CompiledApi) -> Iterator[tuple[str, Json]]:
    for alias in held.url_aliases:
        path = str(alias.get("alias") or "").strip("/")
        wanted = compiled.url_aliases.get(path)
        if wanted is not None and str(alias.get("urlPath") or "").strip("/") != wanted:
            yield f"urlAlias.{path}", _shown(alias.get("urlPath"))
        if alias.get("portList"):
            yield f"urlAlias.{path}.portList", PRESENT


def _is_same(wanted: object, held: object) -> bool:
    if held is None:
        # Absent, empty and off are one.
        return wanted in ("", False, 0, "None")
    return str(wanted).lower() == str(held).lower()


def _shown(value: object) -> Json:
    if value is None:
        return MISSING
    return value if isinstance(value, (str, int, bool)) else PRESENT
