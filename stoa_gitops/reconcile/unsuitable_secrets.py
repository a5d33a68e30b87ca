"""Finds objects with a secret that cannot be sent where it should go, before they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stoa_gitops.model.canonical import JsonObject, secret_paths
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.model.secret import Secret, SecretRef
from stoa_gitops.secrets.forms import REMEDY, SecretForm, find_flaw, form_at


def find_unsuitable(
    resources: Mapping[Key, Resource], resolved: Mapping[str, Secret | None]
) -> dict[Key, str]:
    """Return what is wrong with the secrets of an object, by key; no message has a value.

    `resolved` has the value of each reference, None for those that do not resolve. A backend's
    credential beside a fallback may be unusable: the gateway responds from the fallback then.
    """
    flaws = {
        text: found
        for text, secret in resolved.items()
        if secret is not None and (found := _flaws(secret.reveal()))
    }
    if not flaws:
        return {}
    # Told by their bytes: few of 30,000 objects have a secret with a flaw.
    marks = [text.encode() for text in flaws]
    unsuitable: dict[Key, str] = {}
    for key, resource in resources.items():
        raw = resource.spec.raw
        if any(mark in raw for mark in marks):
            messages = sorted(set(_messages(resource.spec.value, flaws)))
            if messages:
                unsuitable[key] = "; ".join(messages)
    return unsuitable


def _flaws(value: str) -> dict[SecretForm, str]:
    return {form: flaw for form in SecretForm if (flaw := find_flaw(value, form))}


def _messages(spec: JsonObject, flaws: Mapping[str, Mapping[SecretForm, str]]) -> Iterator[str]:
    backend = spec.get("backend")
    has_fallback = isinstance(backend, Mapping) and "fallback" in backend
    for path, text in secret_paths(spec):
        if text not in flaws or (has_fallback and path[0] == "backend"):
            continue
        form = form_at(spec, path)
        flaw = flaws[text].get(form)
        if flaw is not None:
            yield f"{SecretRef.parse(text).shown}: the value {flaw}; {REMEDY[form]}"
