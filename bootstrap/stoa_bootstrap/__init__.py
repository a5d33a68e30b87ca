"""Idempotent provisioning of a first installation."""
