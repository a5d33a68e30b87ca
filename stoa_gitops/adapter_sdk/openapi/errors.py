"""Why an OpenAPI document is not converted at all."""

from __future__ import annotations


class ConversionRefused(ValueError):
    """The document cannot be rewritten as OpenAPI 3.0.3; `str()` says where and why."""
