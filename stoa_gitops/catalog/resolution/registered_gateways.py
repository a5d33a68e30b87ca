"""Finds documents of which two would take the same registered gateway, as far as they show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.fleet.identity import spellings
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.instances import GatewayInstance

CODE: Final = "gateway.match"

_HINT: Final = "a gateway has one document: two would give it two configurations; change one of"


def find_rivals(
    found: Sequence[tuple[Document, GatewayInstance]],
) -> Iterator[tuple[GatewayInstance, LocatedFinding]]:
    """Yield documents for registered gateways that others contend with, each with its finding.

    Which of them is meant nobody knows, so all of them are at fault.
    """
    by_claim: dict[tuple[str, ...], dict[str, tuple[Document, GatewayInstance]]] = defaultdict(dict)
    for document, gateway in found:
        if not gateway.is_registered:
            continue
        match = gateway.registration.match
        if match is not None:
            pair = (match.gateway_type, match.environment)
            by_claim[pair][gateway.name] = document, gateway
        # Of one gateway, written with the hyphen of its mode and without.
        for name in spellings(gateway.name):
            by_claim[(name,)][gateway.name] = document, gateway
    told: set[tuple[str, str]] = set()
    for claim, rivals in by_claim.items():
        for document, gateway in rivals.values():
            for other, _ in rivals.values():
                if other is document or (document.path, other.path) in told:
                    continue
                told.add((document.path, other.path))
                yield gateway, _rival(document, other, claim)


def _rival(document: Document, other: Document, claim: tuple[str, ...]) -> LocatedFinding:
    place = f"{other.path}:{other.parsed.line}"
    at: Pointer = ("metadata", "name")
    text = f"{other.name} ({place}) is the name of the same gateway: {claim[0]}"
    if len(claim) == 2:
        at = ("spec", "registration", "match")
        text = f"{other.name} ({place}) takes every {claim[0]} of {claim[1]}, too"
    return located(document, CODE, text, at, f"{_HINT} the two")
