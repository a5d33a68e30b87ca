"""What a token must say (RFC 7519, 4), checked once its signature is known to be good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_proxy.tokens.signatures import TokenRefused

# Claims that name the client, in the order in which the first that is there decides: OpenID Connect
# Core 1.0, 2 (`azp`, Keycloak's and Google's); RFC 9068, 2.2 (`client_id`); Microsoft's v1 tokens.
_CLIENT: Final = ("azp", "client_id", "appid")
_LATEST: Final = 253_402_300_799  # the last second of the year 9999

Accepted = tuple[object, ...]


class ClaimsLacking(TokenRefused):
    """A good token without a claim that is asked for."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What is asked of claims; `skew` in seconds. Of `required` each claim has accepted values."""

    issuer: str
    audiences: frozenset[str]
    required: tuple[tuple[str, Accepted], ...]
    skew: float

    def check(self, claims: Mapping[str, Any], now: float) -> None:
        """Raise TokenRefused for a token that is not good at `now` (seconds since 1970).

        ClaimsLacking where it is good and only lacks a required claim.
        """
        if claims.get("iss") != self.issuer:
            raise TokenRefused("The token is of another issuer.")
        # RFC 7519 leaves `exp` out; a token that never ends cannot be taken back.
        if _time(claims, "exp") <= now - self.skew:
            raise TokenRefused("The token has expired.")
        if "nbf" in claims and _time(claims, "nbf") > now + self.skew:
            raise TokenRefused("The token is not valid yet.")
        if self.audiences and not self.audiences & _texts(claims.get("aud")):
            raise TokenRefused("The token is for another audience.")
        for name, accepted in self.required:
            if not _has_any(name, claims.get(name), accepted):
                raise ClaimsLacking(f"The token does not have the claim '{name}' that is needed.")


def client_of(claims: Mapping[str, Any]) -> str | None:
    """Return the id of the client that a token was issued to, None where it names none."""
    for name in _CLIENT:
        if name in claims:
            value = claims[name]
            return value if isinstance(value, str) and value else None
    return None


def _time(claims: Mapping[str, Any], name: str) -> float:
    """Return a NumericDate (RFC 7519, 2)."""
    value: Any = claims.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # JSON has integers of any size, and Python reads NaN, too, which is in no order to anything.
    if not is_number or not abs(value) <= _LATEST:
        raise TokenRefused(f"The token's '{name}' is no time.")
    return float(value)


def _texts(value: object) -> frozenset[str]:
    """Return a text or a list of texts as a set."""
    values = value if isinstance(value, list) else [value]
    return frozenset(text for text in values if isinstance(text, str))


def _has_any(name: str, value: object, accepted: Accepted) -> bool:
    held: list[object] = value if isinstance(value, list) else [value]
    if name == "scope" and isinstance(value, str):
        held = [value, *value.split(" ")]  # RFC 9068, 2.2.3: one text of several scopes
    return any(_is_same(one, other) for one in held for other in accepted)


def _is_same(one: object, other: object) -> bool:
    # In Python True == 1; to an issuer they are different values.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return isinstance(one, str | int | float) and one == other
