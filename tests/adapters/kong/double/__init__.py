"""A stateful double of Kong's Admin API, from recordings of Kong 3.4.2 and 3.9.1; see README.md."""

from __future__ import annotations

from tests.adapters.kong.double.admin_api import KongDouble

__all__ = ["KongDouble"]
