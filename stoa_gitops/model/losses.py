"""Losses: what a gateway cannot express of an object, known before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of one object that a gateway cannot express; the message says what happens instead.

    is_partial  the rest of the object can be written without it
    at          the field of the spec that is lost, as a path; empty for the object as a whole
    """

    message: str
    is_partial: bool = False
    at: tuple[str | int, ...] = ()
