"""The boundary around the check of one object: whatever it raises holds back that object."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.losses import Loss

LossFinder: TypeAlias = Callable[[str, JsonObject], tuple[Loss, ...]]

CombinedLossFinder: TypeAlias = Callable[[Spec, Mapping[str, Spec]], tuple[Loss, ...]]

log = logging.getLogger(__name__)


def guarded(find_losses: LossFinder) -> LossFinder:
    """Return a function that finds losses and holds back the one object whose finding fails.

    An exception here is an error of this program, and of one object: the others of a catalog are
    validated, planned and applied all the same.
    """

    def find(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
        try:
            return find_losses(kind, spec)
        except Exception as error:
            log.exception("unexpected error while checking one %s", kind)
            return (Loss(f"unexpected error while checking it ({type(error).__name__})"),)

    return find


def guarded_combined(find_losses: CombinedLossFinder) -> CombinedLossFinder:
    """Return the same for losses of an API with its policies."""

    def find(api: Spec, policies: Mapping[str, Spec]) -> tuple[Loss, ...]:
        try:
            return find_losses(api, policies)
        except Exception as error:
            log.exception("unexpected error while checking an API with its policies")
            return (Loss(f"unexpected error while checking it ({type(error).__name__})"),)

    return find
