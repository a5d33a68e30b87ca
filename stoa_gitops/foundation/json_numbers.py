"""Numbers of JSON that no float holds."""

from __future__ import annotations

import math


def finite_or_text(text: str) -> float | str:
    """Return the float that `text` writes, or `text` itself where that would be infinite.

    For `parse_float` of `json.loads`. JSON has `1e999` (RFC 8259 §6), which Python reads as an
    infinity that cannot be written again. As a text it is a value of the wrong type: what holds it
    is found faulty, and not everything that was read with it.
    """
    number = float(text)
    return number if math.isfinite(number) else text
