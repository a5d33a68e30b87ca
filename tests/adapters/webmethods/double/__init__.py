"""A stateful double of webMethods API Gateway: 10.15 and 11, from the contract alone."""

from tests.adapters.webmethods.double.app import WebMethodsDouble

__all__ = ["WebMethodsDouble"]
