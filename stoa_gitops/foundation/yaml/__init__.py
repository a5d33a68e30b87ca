"""Bounded YAML: nodes with positions, and the composer that makes them from events."""
