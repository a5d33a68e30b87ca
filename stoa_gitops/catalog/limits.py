"""What a tenant may have at most."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.catalog.facts import TenantFacts
from stoa_gitops.catalog.scene import Scene
from stoa_gitops.catalog.world import World


def check_limits(world: World, scenes: Iterable[Scene]) -> None:
    """Note tenants that have more APIs or applications than their limits allow."""
    counts: dict[tuple[str, str], int] = {}
    for kind in ("API", "Application"):
        for document in world.index.of(kind):
            counts[kind, document.tenant] = counts.get((kind, document.tenant), 0) + 1
    for scene in scenes:
        for document in world.index.of("Tenant"):
            if document.is_broken or (scene.is_partial and document.parsed.has_variables):
                continue
            lowered = world.lowered(document, scene.overlay)
            if not isinstance(lowered.facts, TenantFacts):
                continue
            facts = lowered.facts
            for kind, field, most in (
                ("API", "maxApis", facts.max_apis),
                ("Application", "maxApplications", facts.max_applications),
            ):
                count = counts.get((kind, document.tenant), 0)
                if most is not None and count > most:
                    world.say(
                        document,
                        f"limit.{field.removeprefix('max').lower()}",
                        f"{document.name} has {count} documents of kind {kind}, and may have {most}",
                        ("spec", "limits", field),
                        "raise the limit, or remove some",
                        lowered=lowered,
                    )
