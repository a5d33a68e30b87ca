"""Finds what a person wants explained: a kind, a field, a policy type, a gateway type, a code."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from stoa_gitops.catalog.documents.kind_files import kind_schemas
from stoa_gitops.catalog.documents.schema_fields import NoSuchField, all_fields
from stoa_gitops.errors import UsageError
from stoa_gitops.operations.explain.fields import (
    FieldExplanation,
    declared_capabilities,
    explain_gateway_type,
    explain_kind,
    explain_policy_type,
    gateway_type_names,
    policy_type_names,
)
from stoa_gitops.operations.explain.findings import FindingExplanation, codes, explain_code

Explanation: TypeAlias = FieldExplanation | FindingExplanation

_SHORT: Final = {"gateway": "GatewayInstance", "app": "Application", "env": "Environment"}
"""What people call kinds, as kubectl has short names."""


def explain(topic: str) -> Explanation:
    """Return the explanation of `API.spec.backend`, `rate_limit`, `kong` or `schema.type`.

    Case does not count, a kind may be in the plural, and `spec` may be left out. Raises UsageError
    with the nearest topics for anything else.
    """
    code = next((code for code in codes() if code == topic.lower()), None)
    if code is not None:
        return explain_code(code)
    head, *names = topic.split(".")
    kinds = _kinds_by_word()
    kind = kinds.get(head.lower())
    if kind is not None:
        return _found(topic, lambda: explain_kind(kind, _with_spec(kind, names)))
    for known, explain_it in (
        (policy_type_names(), explain_policy_type),
        (gateway_type_names(), explain_gateway_type),
    ):
        if head.lower() in known:
            return _found(topic, lambda: explain_it(head.lower(), names))  # noqa: B023 - called here
    raise UsageError(
        f"{topic!r} is no kind, policy type, gateway type or code{_hint(topic, kinds)}"
    )


def topics() -> Mapping[str, Sequence[str]]:
    """Return everything that can be explained, by what it is."""
    return {
        "kinds": tuple(kind_schemas()),
        "policy types": policy_type_names(),
        "gateway types": gateway_type_names(),
        "codes of findings": codes(),
    }


def topic_names() -> Iterator[str]:
    """Yield every topic, fields with their whole dotted names."""
    for kind in kind_schemas():
        yield from (".".join((kind, *one.path)) for one in all_fields(explain_kind(kind, ()).field))
    for name in policy_type_names():
        fields = all_fields(explain_policy_type(name, ()).field)
        yield from (".".join((name, *one.path)) for one in fields)
    yield from (name for one in declared_capabilities() for name in one["types"])
    yield from codes()


def _kinds_by_word() -> dict[str, str]:
    found = {word: kind for word, kind in _SHORT.items() if kind in kind_schemas()}
    for kind in kind_schemas():
        low = kind.lower()
        plural = f"{low[:-1]}ies" if low.endswith("y") else f"{low}s"
        found |= {low: kind, plural: kind}
    return found


def _with_spec(kind: str, names: Sequence[str]) -> Sequence[str]:
    """Add `spec` where the first name is none of the document's own fields."""
    own = kind_schemas()[kind]["properties"]
    if not names or names[0] in own or names[0].lower() in map(str.lower, own):
        return names
    return ["spec", *names]


def _found(topic: str, look: Callable[[], FieldExplanation]) -> FieldExplanation:
    try:
        return look()
    except NoSuchField as error:
        above = ".".join((topic.partition(".")[0], *error.above))
        near = _near(error.name, error.known)
        known = f"; there are {', '.join(error.known)}" if error.known else ", which has no fields"
        hint = f"; did you mean {near[0]}?" if near else known
        raise UsageError(f"no field {error.name!r} in {above}{hint}") from None


def _hint(topic: str, kinds: Iterable[str]) -> str:
    known = [*kinds, *policy_type_names(), *gateway_type_names(), *codes()]
    near = _near(topic, known) or _near(topic.partition(".")[0], known)
    if near:
        return f"; did you mean {near[0]}?"
    return "; `stoa-gitops explain` lists them"


def _near(word: str, known: Iterable[str]) -> list[str]:
    by_lower = {name.lower(): name for name in known}
    # 0.6 is difflib's own default: below it, suggestions are mostly unrelated.
    return [by_lower[n] for n in difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)]
