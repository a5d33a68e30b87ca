"""The rules of advice, one function for each code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from stoa_gitops.catalog.advice.documents import WrittenCatalog, WrittenDocument
from stoa_gitops.catalog.evaluation.overlay import Patch, parse_overlay
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.model.keys import API, Key

Rule: TypeAlias = Callable[[WrittenCatalog], Iterator[LocatedFinding]]

_PRODUCTION: Final = frozenset({"prod", "production", "prd", "live"})
"""Names of environments in which real users are."""


def find_open_apis(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield APIs that everybody may call: without plans, and without a policy that identifies."""
    open_keys = {
        key
        for state in written.catalog.desired.values()
        for key, resource in state.resources.items()
        if key.kind == API
        and resource.spec.value.get("active", True)
        and not any(key.policy(name) in state.resources for name in ("api_key", "jwt"))
    }
    for document in written.of_kind("API"):
        if Key(API, document.tenant, document.name) in open_keys:
            yield document.advise(
                "lint.open-api",
                "everybody may call this API: it has no plans, and no policy api_key or jwt",
                ("spec",),
                "add one of them, or say that it is meant by the annotation "
                'gostoa.dev/lint-ignore: "lint.open-api"',
            )


def find_unused_policies(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield Policy documents that no API and no tenant names, nor any patch."""
    used = {
        (document.tenant, use)
        for kind in ("API", "Tenant")
        for document in written.of_kind(kind)
        for _, use in document.entries("policies")
        if isinstance(use, str)
    }
    patched = {
        text for document in written.of_kind("Environment") for text in _texts(document.spec)
    }
    for document in written.of_kind("Policy"):
        if (document.tenant, document.name) not in used and document.name not in patched:
            yield document.advise(
                "lint.unused-policy",
                f"no API and no tenant uses the policy {document.name}",
                ("metadata", "name"),
                "name it in `policies` of an API or of the tenant, or remove the document",
            )


def find_ended_subscriptions(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield subscriptions that are over."""
    for document in written.of_kind("Application"):
        for number, subscription in document.entries("subscriptions"):
            ended = subscription.get("expiresAt") if isinstance(subscription, dict) else None
            end = _time(ended)
            if end is not None and end <= written.now:
                yield document.advise(
                    "lint.ended-subscription",
                    f"this subscription ended at {ended}",
                    ("spec", "subscriptions", number, "expiresAt"),
                    "remove it, or write when it ends now",
                )


def find_unreachable_plans(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield plans to which no application subscribes: nobody can call the API by them."""
    taken = {
        (Key.parse_name(API, str(item.get("api", "")), document.tenant), item.get("plan"))
        for document in written.of_kind("Application")
        for _, item in document.entries("subscriptions")
        if isinstance(item, dict)
    }
    for document in written.of_kind("API"):
        key = Key(API, document.tenant, document.name)
        for number, plan in document.entries("plans"):
            if isinstance(plan, dict) and (key, plan.get("name")) not in taken:
                yield document.advise(
                    "lint.unreachable-plan",
                    f"no application subscribes to the plan {plan.get('name')}",
                    ("spec", "plans", number, "name"),
                    "let an application subscribe to it, or remove it",
                )


def find_plain_backends(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield APIs whose requests leave a gateway of production unencrypted."""
    found: dict[Key, str] = {}
    for gateway in written.catalog.gateways:
        if gateway.environment.lower() in _PRODUCTION:
            for key, resource in written.catalog.desired[gateway.name].resources.items():
                backend = resource.spec.value.get("backend") if key.kind == API else None
                if isinstance(backend, Mapping) and _is_plain(backend):
                    found.setdefault(key, gateway.name)
    for document in written.of_kind("API"):
        gateway_name = found.get(Key(API, document.tenant, document.name))
        if gateway_name:
            yield document.advise(
                "lint.plain-backend",
                f"{gateway_name} is in production and sends requests to this backend unencrypted",
                _plain_place(document.spec),
                "use https",
            )


def _plain_place(spec: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the place of the first of these URLs as a document has them."""
    for number, target in enumerate(spec.get("backends") or ()):
        if str(target["url"]).startswith("http://"):
            return ("spec", "backends", number, "url")
    backend = spec.get("backend") or {}
    if str(backend.get("url", "")).startswith("http://"):
        return ("spec", "backend", "url")
    return ("spec", "backend", "auth", "tokenUrl") if "auth" in backend else ("spec", "backend")


def _is_plain(backend: Mapping[str, Any]) -> bool:
    """Whether a backend, one of several or its token endpoint is called unencrypted."""
    urls = [backend.get("url"), *(target["url"] for target in backend.get("targets", ()))]
    auth = backend.get("auth")
    urls.append(auth.get("tokenUrl") if isinstance(auth, Mapping) else None)
    return any(isinstance(url, str) and url.startswith("http://") for url in urls)


def find_wide_cors(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield policies `cors` that let pages of every origin read responses."""
    for document in written.of_kind("Policy"):
        if _is_wide(document.spec):
            yield _wide(document, ("spec", "config", "origins"))
    for kind in ("API", "Tenant"):
        for document in written.of_kind(kind):
            for number, use in document.entries("policies"):
                if isinstance(use, dict) and _is_wide(use):
                    yield _wide(document, ("spec", "policies", number, "config", "origins"))


def _is_wide(policy: Mapping[str, Any]) -> bool:
    config = policy.get("config")
    if policy.get("type") != "cors" or not isinstance(config, dict):
        return False
    return "*" in (config.get("origins") or ())


def _wide(document: WrittenDocument, pointer: tuple[str | int, ...]) -> LocatedFinding:
    return document.advise(
        "lint.wide-cors",
        "pages of every origin may read the responses",
        pointer,
        "list the origins of the pages that call it",
    )


def find_idle_patches(written: WrittenCatalog) -> Iterator[LocatedFinding]:
    """Yield patches that select documents and change none of them."""
    patched = [d for d in written.documents if d.kind not in {"Environment", "Catalog"}]
    for document in written.of_kind("Environment"):
        overlay = parse_overlay(document.name, document.path, document.number, document.value)
        selected: set[int] = set()
        changing: set[int] = set()
        for one in patched:
            value: Any = one.value
            for patch in overlay.possible(one.name):
                if not patch.selects(one.kind, one.name, one.tenant):
                    continue
                selected.add(patch.index)
                # Each on what those before it left: taking back what another did is an effect.
                made = _merge(value, patch.patch)
                if made != value:
                    changing.add(patch.index)
                value = made
        for patch in overlay.patches:
            if patch.index in selected - changing:
                yield _idle(document, patch)


def _idle(document: WrittenDocument, patch: Patch) -> LocatedFinding:
    return document.advise(
        "lint.idle-patch",
        "this patch changes nothing: the documents that it selects say the same already",
        ("spec", "patches", patch.index, "patch"),
        "remove it, or write the value that is meant",
    )


def _merge(value: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386 §2)."""
    if not isinstance(patch, Mapping):
        return patch
    made = dict(value) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            made.pop(name, None)
        else:
            made[name] = _merge(made.get(name), item)
    return made


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _time(text: Any) -> datetime | None:
    """Return a time of RFC 3339; None for a variable, and for what is none."""
    try:
        return datetime.fromisoformat(text.upper())
    except (AttributeError, ValueError):
        return None


RULES: Final[Mapping[str, Rule]] = {
    "lint.ended-subscription": find_ended_subscriptions,
    "lint.idle-patch": find_idle_patches,
    "lint.open-api": find_open_apis,
    "lint.plain-backend": find_plain_backends,
    "lint.unreachable-plan": find_unreachable_plans,
    "lint.unused-policy": find_unused_policies,
    "lint.wide-cors": find_wide_cors,
}
