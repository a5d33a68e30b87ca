"""Follows which converted schemas accept more than they did, and what must go because of that.

A schema that lost a keyword accepts more. Below `not`, below `if` and among the branches of `oneOf`
that would refuse values that were valid: whatever is there and not exact any more is taken out
or loosened, also where it stands behind references, and its own schema then accepts more, too.
"""

from __future__ import annotations

from collections.abc import Callable


class Part:
    """A part of a schema whose exactness decides something.

    above   the part around it, which accepts more if this one does
    loosen  carried out once this part is known to accept more
    """

    __slots__ = ("above", "component", "is_exact", "loosen")

    def __init__(
        self,
        above: Part | None = None,
        loosen: Callable[[], None] | None = None,
        component: str | None = None,
    ) -> None:
        self.above = above
        self.loosen = loosen
        self.component = component
        self.is_exact = True


class Exactness:
    """What refers to which component, and what accepts more than it did."""

    def __init__(self) -> None:
        self._dependants: dict[str, list[Part]] = {}
        self._inexact: list[Part] = []

    def add_reference(self, part: Part, component: str) -> None:
        """Note that a part refers to a component."""
        self._dependants.setdefault(component, []).append(part)

    def mark(self, part: Part) -> None:
        """Note that a part accepts more than it did."""
        if part.is_exact:
            part.is_exact = False
            self._inexact.append(part)

    def settle(self) -> None:
        """Carry out what follows, through all references; called once everything is converted."""
        while self._inexact:
            part = self._inexact.pop()
            if part.loosen is not None:
                part.loosen()
            if part.above is not None:
                self.mark(part.above)
            # Each list once: a component becomes inexact only once.
            for dependant in self._dependants.get(part.component or "", ()):
                self.mark(dependant)
