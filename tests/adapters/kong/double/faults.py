"""What a test can make go wrong; each fault counts down and is gone."""

from __future__ import annotations

import fnmatch


class Faults:
    """Planned faults of a double; the double asks `_takes` where each may strike."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._matches: dict[str, str] = {}
        self._retry_after: float = 10

    def lose_after_commit(self, times: int = 1) -> None:
        self._plan("lose", times)

    def timeout_after_commit(self, times: int = 1, *, answers_504: bool = False) -> None:
        """Committed, and then nothing (or Kong's own 504)."""
        self._plan("504" if answers_504 else "hang", times)

    def answer_500_without_commit(self, times: int = 1, match: str = "*") -> None:
        """`match` is a glob over "METHOD /path" of single writes."""
        self._plan("500", times, match)

    def busy(self, times: int = 1, retry_after: float = 10) -> None:
        """429 as recorded: after parsing and validation, without a commit."""
        self._plan("busy", times)
        self._retry_after = retry_after

    def cut_answers(self, times: int = 1, match: str = "*") -> None:
        """Answers stop half way; `match` is a glob over "METHOD /path".

        What was asked is done nevertheless.
        """
        self._plan("cut", times, match)

    def nginx_401(self, times: int = 1_000_000, match: str = "*") -> None:
        """A proxy before Kong that wants credentials: an HTML page, and Kong never hears of it."""
        self._plan("401", times, match)

    def heal(self) -> None:
        self._left.clear()

    def _plan(self, name: str, times: int, match: str = "*") -> None:
        self._left[name] = times
        self._matches[name] = match

    def _strikes(self, name: str, line: str = "") -> bool:
        """Whether the fault strikes this request ("METHOD /path"); counts it if so."""
        left = self._left.get(name, 0)
        if left <= 0 or not fnmatch.fnmatch(line, self._matches[name]):
            return False
        self._left[name] = left - 1
        return True
