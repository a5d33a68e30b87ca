"""One Git catalog as the truth for many API gateways."""

from __future__ import annotations

__version__ = "0.1.0"
