"""What applications need to know of an API: who may be linked to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class LinkedApi:
    """An API of ours on the gateway.

    plans          names of its plans
    credentials    kinds of credential that let in; none where nobody is asked for one
    is_subscribed  only subscribers are let in, and not every application of the tenant
    """

    key: Key
    api_id: str
    plans: frozenset[str] = frozenset()
    credentials: tuple[str, ...] = ()
    is_subscribed: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """The right of an application to call an API, within a plan where the API has some."""

    api: LinkedApi
    plan: str = ""
