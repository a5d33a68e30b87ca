"""What a gateway cannot express of an object, said before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of one object that a gateway cannot express, in words that say what happens instead.

    is_partial  the rest of the object can be written all the same
    """

    message: str
    is_partial: bool = False
