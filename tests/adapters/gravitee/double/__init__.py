"""A stateful double of Gravitee APIM: the Automation API, `_import/crd` and single calls."""

from tests.adapters.gravitee.double.app import GraviteeDouble

__all__ = ["GraviteeDouble"]
