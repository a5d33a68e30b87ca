"""A person's word that a plan is to be applied though guards hold it."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.principal import Principal


@dataclass(frozen=True, slots=True)
class Forced:
    """Who forces which plan; `digest` may be the first digits of its digest, in either case."""

    digest: str
    principal: Principal

    def covers(self, digest: str) -> bool:
        """Whether this is the plan that was seen."""
        return digest.startswith(self.digest.lower())
