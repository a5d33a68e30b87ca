"""The filters of the command line as a value."""

from __future__ import annotations

from argparse import Namespace

from stoa_gitops.reconcile.selection import Selection


def selection(options: Namespace) -> Selection:
    """Return what `--gateway`, `--env` and `--tenant` select."""
    return Selection(
        gateways=frozenset(getattr(options, "gateway", None) or ()),
        environment=options.env or None,
        tenant=getattr(options, "tenant", None) or None,
    )
