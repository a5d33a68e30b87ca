"""`jwt` as the security of plans, and a flow that checks claims and forwards them. Pure.

Gravitee's jwt plugin compares neither issuer nor audience: steps that run on a condition answer 401
where a claim is another one. The plans themselves are made by `mapping.plans`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, make_step
from stoa_gitops.adapters.gravitee.mapping.losses import quoted, value_fault
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.adapters.gravitee.mapping.routes import MOCK
from stoa_gitops.model.losses import Loss

_TYPE: Final = "jwt"
_CLAIMS: Final = "#context.attributes['jwt.claims']"
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
_TRANSFORM: Final = "transform-headers"


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    by_key = "api_key" in place.policies
    # A caller with a key has no claims: with both policies only tokens are looked at.
    has_claims = f"{_CLAIMS} != null" if by_key else ""
    steps = [_refusal(condition, has_claims) for condition in _wrong(config)]
    headers = [
        {"name": header, "value": f"{{{_claim(name)}}}"}
        for name, header in sorted(config["forwardClaims"].items(), key=lambda pair: pair[1])
    ]
    if headers:
        forward = {"scope": "REQUEST", "addHeaders": headers}
        condition = f"{{{has_claims}}}" if has_claims else ""
        steps.append(make_step(_TYPE, _TRANSFORM, forward, condition))
    definition["flows"].append(make_flow(_TYPE, steps))


def _wrong(config: Config) -> Iterator[str]:
    """Yield a condition for each way in which a token can be a wrong one."""
    yield f"{_claim('iss')} != {quoted(config['issuer'])}"
    if config["audiences"]:
        yield _none_of("aud", config["audiences"])
    for name, wanted in sorted(config["requiredClaims"].items()):
        if isinstance(wanted, list):
            yield _none_of(name, wanted)
        elif isinstance(wanted, str):
            yield f"{_claim(name)} != {quoted(wanted)}"
        else:
            text = quoted(str(wanted).lower())
            yield f"{_claim(name)} == null || {_claim(name)}.toString() != {text}"


def _claim(name: str) -> str:
    return f"{_CLAIMS}[{quoted(name)}]"


def _none_of(name: str, values: list[str]) -> str:
    """Return the condition that a claim has none of some values, as one text or in a list."""
    claim = _claim(name)
    # `contains` of a text would look for letters: quotes and commas around make it whole words.
    listed = f"('[' + {claim}.toString().replace('[', '').replace(']', '') + ']')"
    joined = f"{listed}.replace(', ', ',').replace('[', ',').replace(']', ',')"
    wrong = " && ".join(f"!{joined}.contains({quoted(f',{value},')})" for value in values)
    return f"{claim} == null || ({wrong})"


def _refusal(condition: str, has_claims: str) -> JsonTree:
    answer = {
        "status": "401",
        "headers": [{"name": "WWW-Authenticate", "value": 'Bearer error="invalid_token"'}],
        "content": "",
    }
    whole = f"{has_claims} && ({condition})" if has_claims else condition
    return make_step(_TYPE, MOCK, answer, f"{{{whole}}}")


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    # Others' plans say no issuer, without which there is no policy.
    held = read_memory(place.marks, _TYPE) if place.is_ours else None
    return held if isinstance(held, dict) else None


def _losses(config: Config) -> Iterator[Loss]:
    if "jwksUri" not in config:
        yield Loss(
            "no jwksUri: Gravitee does not look for the keys of an issuer, so write where they are",
            at=("config", "jwksUri"),
        )
    texts = [config["issuer"], *config["audiences"], *_texts(config["requiredClaims"])]
    for text in texts:
        if value_fault(text) or any(letter in text for letter in "[]{}"):
            yield Loss(f"the value {text}: Gravitee's expressions cannot hold it", at=("config",))
    for text in (*config["audiences"], *_texts(config["requiredClaims"])):
        if "," in text:
            yield Loss(f"the value {text}: a comma parts values", at=("config",))
    for name in (*config["requiredClaims"], *config["forwardClaims"]):
        if _NAME.fullmatch(name) is None:
            yield Loss(f"the claim {name}: Gravitee's expressions cannot name it", at=("config",))
    yield Loss(
        "tokens of one algorithm (options.jwtAlgorithm), without a clockSkew, and of applications "
        "alone whose credential has the clientId that the token names",
        is_partial=True,
    )


def _texts(claims: Mapping[str, Any]) -> Iterator[str]:
    for wanted in claims.values():
        yield from wanted if isinstance(wanted, list) else (str(wanted),)


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=("jwt", MOCK, _TRANSFORM),
    rank=5,
    write=_write,
    read=_read,
    losses=_losses,
    has_memory=True,
)
