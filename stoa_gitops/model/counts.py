"""Numbers of things in messages for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as `1 object` or `2 objects`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
