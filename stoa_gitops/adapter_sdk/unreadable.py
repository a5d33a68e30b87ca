"""A guard around the reading of one object: what nobody foresaw in it ends nothing else.

A gateway holds values of other people and of later versions. One of them that a decoder cannot take
must not make the whole gateway unreadable: its object is then listed without content, foreign or
ours as its mark says, and a warning names it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar

from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.model.keys import Key

T = TypeVar("T")

UNREADABLE: Final = "unreadable"
"""Field of a listed object that could not be read: why, without a value."""

log = logging.getLogger(__name__)

_IS_STRICT: Final = ContextVar("is_strict", default=False)


@contextmanager
def reading_strictly() -> Iterator[None]:
    """Let what cannot be read raise: a person who hands in a file can put it right."""
    token = _IS_STRICT.set(True)
    try:
        yield
    finally:
        _IS_STRICT.reset(token)


def read_guarded(what: str, read: Callable[[], T], otherwise: Callable[[str], T]) -> T:
    """Return what `read` makes of one object, or `otherwise(reason)` where it raises.

    Raises as `read` does within `reading_strictly`.

    `what` names the object for people. The reason has no value of the object, which may be secret.

        items = [
            read_guarded(f"route {ident}", lambda: item_of(route), partial(unreadable, API, ident))
            for ident, route in routes.items()
        ]
    """
    try:
        return read()
    except Exception as error:
        if _IS_STRICT.get():
            raise
        reason = f"it holds a value that is not understood here ({type(error).__name__})"
        log.warning("%s is set aside: %s", what, reason)
        return otherwise(reason)


def read_each(kind: str, objects: Iterable[Any], read: Callable[[Any], ListItem]) -> list[ListItem]:
    """Return the item of each vendor object; an unreadable one is foreign, without content."""
    return [
        read_guarded(
            f"{kind} {gateway_id_of(one)}",
            partial(read, one),
            partial(unreadable, kind, gateway_id_of(one)),
        )
        for one in objects
    ]


def gateway_id_of(vendor_object: Any) -> str:
    """Return the `id` of a vendor object, in which nothing is sure; empty where it has none."""
    return str(vendor_object.get("id", "")) if isinstance(vendor_object, dict) else ""


def unreadable(kind: str, gateway_id: str, reason: str) -> ListItem:
    """Return the item of an object of which nothing is known but its id: a foreign one."""
    key = Key(kind, "", gateway_id)
    return list_item(key, {UNREADABLE: reason}, gateway_id, managed=False)


def refuse_unreadable(spec: Mapping[str, object]) -> str:
    """Return why an object that could not be read cannot be adopted; empty for any other."""
    reason = spec.get(UNREADABLE)
    return f"it cannot be read: {reason}" if reason else ""
