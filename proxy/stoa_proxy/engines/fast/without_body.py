"""What both connections of a request without a body may call though there is nothing to do."""

from __future__ import annotations

from typing import Final


class WithoutBody:
    """An exchange without a body, whose response is sent whole.

    To the client's connection it is an `exchange.Exchange`, to the upstream's a `Receiver`.
    """

    __slots__ = ()

    upload: Final = None
    has_begun: Final = False
    wants_body: Final = True

    def body_came(self) -> None:
        """Do nothing: there is no body."""

    def refuse_body(self) -> None:
        """Do nothing: there is no body."""

    def pause_body(self) -> None:
        """Do nothing: there is no body."""

    def resume_body(self) -> None:
        """Do nothing: there is no body."""

    def pause_response(self) -> None:
        """Do nothing: no response has begun."""

    def resume_response(self) -> None:
        """Do nothing: no response has begun."""
