"""What an adapter refuses before any call: the same words for every gateway. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from stoa_gitops.adapter_sdk.capabilities import Capabilities
from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import unsupported
from stoa_gitops.adapter_sdk.unreadable import refuse_unreadable
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret

_UNKNOWN: Final = "unknown to this adapter"


def refuse_unsupported(
    needed: Iterable[str], capabilities: Capabilities, losses: Callable[[], Iterable[Loss]]
) -> AdapterResult | None:
    """Return why an object is not written, None where it is.

    The planner checks support before any call; this refuses what passed it, for methods that are
    called alone. What can be written in part is written in part: `onUnsupported` holds it back.

    needed  names of the capabilities that the object needs
    losses  yields what the gateway cannot hold of it; called only where it has those
    """
    for name in needed:
        capability = capabilities.get(name)
        if capability is None or not capability.supported:
            reason = capability.reason if capability else _UNKNOWN
            return unsupported(f"this gateway has no {name} ({reason})")
    whole = [loss.message for loss in losses() if not loss.is_partial]
    return unsupported(f"this gateway cannot express it: {'; '.join(whole)}") if whole else None


def refuse_unread(spec: Mapping[str, object], field: str) -> str:
    """Return why a foreign object cannot be adopted: what nobody can read nobody can keep.

    field  where the object has what no canonical field covers; the answer is empty for any other
    """
    left = spec.get(field)
    return refuse_unreadable(left) if isinstance(left, Mapping) else ""


def key_losses(key: object, index: int) -> Iterator[Loss]:
    """Yield why a key of an application is none that a header carries (RFC 9110 §5.5)."""
    if not isinstance(key, Secret):
        return
    text = key.reveal()
    if text != text.strip() or not text.isascii() or not text.isprintable():
        yield Loss(
            f"credential {index + 1} (api_key): no header carries this key",
            at=("credentials", index),
        )
