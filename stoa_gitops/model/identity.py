"""The rule that makes quiet cycles cheap: the same object means that nothing has changed.

Readers, stores and planners reuse the previous object where the new value is equal, so that a
later step tells by identity, in nanoseconds, what it would otherwise compare field by field.
"""

from __future__ import annotations


def is_unchanged(before: object, after: object) -> bool:
    """Whether two values are the same object; an equal copy counts as a change.

    Handing in a copy is never wrong, it only costs the work that was to be saved. The objects must
    be immutable, and both alive: the identity of an object that is gone may be given to another.
    """
    return before is after
