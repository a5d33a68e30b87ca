"""Several objects as one change (`POST /admin/batch`): all of them or none.

An API is its routes, its policies and the rights of its consumers. Written one by one they would
meet requests in mixtures that nobody has configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body
from stoa_proxy.errors import BackendRefused, BodyRefused, ObjectRefused, ProxyError

KINDS: Final = ("apis", "policies", "consumers")

Parse = Callable[[Body], tuple[Any, View]]

Refusals: Final = (ObjectRefused, BodyRefused, BackendRefused)
"""What a parser raises for an object that is not accepted."""


def parse_batch(body: Body, parsers: Mapping[str, Parse]) -> Changes:
    """Return the changes of a body; `parsers` by the names of KINDS.

    Raises BodyRefused, and ObjectRefused with the reasons of all objects that are refused.
    """
    errors = body.check_fields((*KINDS, "delete"))
    removals = body.body("delete") if body.values.get("delete") is not None else Body({})
    errors += removals.check_fields(KINDS)
    objects: dict[str, Sequence[tuple[Any, View]]] = {}
    removed: dict[str, tuple[str, ...]] = {}
    refused: list[tuple[str, str]] = []
    for kind in KINDS:
        objects[kind] = _parse_all(kind, body.bodies(kind), parsers[kind], errors, refused)
        removed[kind] = tuple(dict.fromkeys(removals.texts(kind, [])))
        ids = [item.id for item, _ in objects[kind]]
        for item_id in {one for one in ids if ids.count(one) > 1 or one in removed[kind]}:
            errors.append(f"{kind}: '{item_id}' is named twice")
            refused.append((kind, item_id))
    if errors:
        raise ObjectRefused(errors, objects=refused)
    return Changes(
        routes=tuple(objects["apis"]),
        policies=tuple(objects["policies"]),
        consumers=tuple(objects["consumers"]),
        without_routes=removed["apis"],
        without_policies=removed["policies"],
        without_consumers=removed["consumers"],
    )


def reasons_of(error: ProxyError) -> list[str]:
    """Return in words why a parser refused an object; `error` is one of Refusals."""
    if isinstance(error, ObjectRefused):
        return error.errors
    if isinstance(error, BackendRefused):
        return [f"{error.summary}: {error.detail}"]
    return [str(error)]


def _parse_all(
    kind: str,
    bodies: Sequence[Body],
    parse: Parse,
    errors: list[str],
    refused: list[tuple[str, str]],
) -> list[tuple[Any, View]]:
    found = []
    for body in bodies:
        try:
            found.append(parse(body))
            continue
        except Refusals as error:
            reasons = reasons_of(error)
        item_id = body.values.get("id")
        shown = item_id if isinstance(item_id, str) else ""
        errors += [f"{kind} '{shown}': {reason}" for reason in reasons]
        refused.append((kind, shown))
    return found
