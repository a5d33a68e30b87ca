"""What an OpenAPI document lost on its way to 3.0, each loss with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stoa_gitops.model.counts import counted


class Effect(StrEnum):
    """What a loss does to those who go by the converted document."""

    VALIDATION = "validation"
    """Values are accepted that the document refused before."""
    SECURITY = "security"
    """Callers are asked for less than the document says."""
    CONTENT = "content"
    """A part of the document is gone, or is left as it was."""
    TEXT = "text"
    """Nothing but words for people and programs that read the document."""


_ORDER: Final = {effect: rank for rank, effect in enumerate(Effect)}


@dataclass(frozen=True, slots=True)
class ConversionLoss:
    """One keyword at one place that OpenAPI 3.0 cannot say.

    pointer  JSON pointer of the keyword in the document as it was (RFC 6901)
    keyword  the keyword, as the document has it
    message  what happens instead
    """

    pointer: str
    keyword: str
    message: str
    effect: Effect

    def __str__(self) -> str:
        return f"{self.pointer}: {self.message}"


class Place:
    """A place in a document: linked to the one above it, and written out only when asked for."""

    __slots__ = ("key", "parent")

    def __init__(self, parent: Place | None = None, key: str | int = "") -> None:
        self.parent = parent
        self.key = key

    @property
    def parts(self) -> list[str]:
        """The keys from the root to here."""
        found: list[str] = []
        place: Place | None = self
        while place is not None and place.parent is not None:
            found.append(str(place.key))
            place = place.parent
        return found[::-1]

    def __str__(self) -> str:
        return pointer_of(self.parts)


def pointer_of(parts: Iterable[str]) -> str:
    """Return the JSON pointer of keys (RFC 6901 §3); empty for the document as a whole."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


class LossCollector:
    """Collects losses; the same keyword at the same place counts once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], ConversionLoss] = {}

    def add(self, place: Place, keyword: str, message: str, effect: Effect) -> None:
        """Note that a keyword below a place is lost."""
        pointer = str(Place(place, keyword))
        self._found.setdefault(
            (pointer, keyword), ConversionLoss(pointer, keyword, message, effect)
        )

    @property
    def losses(self) -> tuple[ConversionLoss, ...]:
        """All of them, in the order of their pointers."""
        return tuple(self._found[key] for key in sorted(self._found))


def summary_lines(losses: Iterable[ConversionLoss]) -> list[str]:
    """Return a line per message, the gravest first: with how many places, and the first of them."""
    groups: dict[tuple[Effect, str], list[ConversionLoss]] = {}
    for loss in losses:
        groups.setdefault((loss.effect, loss.message), []).append(loss)
    lines = []
    for (_, message), found in sorted(groups.items(), key=lambda item: _ORDER[item[0][0]]):
        places = f"{counted(len(found), 'place')}, first " if len(found) > 1 else ""
        lines.append(f"{message} ({places}{found[0].pointer})")
    return lines
