"""Composition root: builds everything, owns the task group and the order of shutdown."""
