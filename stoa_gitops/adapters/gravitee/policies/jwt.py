"""`jwt` as the security of plans, and a flow that checks claims and forwards them. Pure.

Gravitee's jwt plugin compares neither issuer nor audience: steps that run on a condition answer 401
where a claim is another one. Tokens without keys are asked about (`options.introspections`) by a
resource of the API, and the claims are those of the answer. The plans are made by `mapping.plans`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, Introspection, JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, make_step
from stoa_gitops.adapters.gravitee.mapping.losses import quoted, value_fault
from stoa_gitops.adapters.gravitee.mapping.plans import TOKENS
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.adapters.gravitee.mapping.routes import MOCK
from stoa_gitops.model.losses import Loss

Claim: TypeAlias = Callable[[str], str]
"""Returns the expression of a claim."""

_TYPE: Final = "jwt"
_CLAIMS: Final = "#context.attributes['jwt.claims']"
_ANSWER: Final = "#context.attributes['oauth.payload']"
_PLUGIN: Final = "oauth2"
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
_TRANSFORM: Final = "transform-headers"


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    asked = place.info.options.find_introspection(config)
    if asked is not None:
        definition["resources"].append(_resource(asked))
    claims = _CLAIMS if asked is None else _ANSWER
    by_key = "api_key" in place.policies
    # A caller with a key has no claims: with both policies only tokens are looked at.
    has_claims = f"{claims} != null" if by_key else ""
    claim = _claim if asked is None else _answered
    steps = [_refusal(condition, has_claims) for condition in _wrong(config, claim)]
    headers = [
        {"name": header, "value": f"{{{claim(name)}}}"}
        for name, header in sorted(config["forwardClaims"].items(), key=lambda pair: pair[1])
    ]
    if headers:
        forward = {"scope": "REQUEST", "addHeaders": headers}
        condition = f"{{{has_claims}}}" if has_claims else ""
        steps.append(make_step(_TYPE, _TRANSFORM, forward, condition))
    definition["flows"].append(make_flow(_TYPE, steps))


def _resource(asked: Introspection) -> JsonTree:
    """Return what asks the issuer; with TLS checked, without which 4.12 does not start it."""
    parts = urlsplit(asked.endpoint)
    return {
        "name": TOKENS,
        "type": _PLUGIN,
        "enabled": True,
        "configuration": {
            "authorizationServerUrl": f"{parts.scheme}://{parts.netloc}",
            "introspectionEndpoint": parts.path,
            "introspectionEndpointMethod": "POST",
            "clientId": asked.client_id,
            "clientSecret": asked.client_secret,
            "useClientAuthorizationHeader": True,
            "tokenIsSuppliedByQueryParam": False,
            "tokenIsSuppliedByFormUrlEncoded": True,
            "ssl": {"hostnameVerifier": True, "trustAll": False},
        },
    }


def _wrong(config: Config, claim: Claim) -> Iterator[str]:
    """Yield a condition for each way in which a token can be a wrong one."""
    yield f"{claim('iss')} != {quoted(config['issuer'])}"
    if config["audiences"]:
        yield _none_of(claim("aud"), config["audiences"])
    for name, wanted in sorted(config["requiredClaims"].items()):
        if isinstance(wanted, list):
            yield _none_of(claim(name), wanted)
        elif isinstance(wanted, str):
            yield f"{claim(name)} != {quoted(wanted)}"
        else:
            text = quoted(str(wanted).lower())
            yield f"{claim(name)} == null || {claim(name)}.toString() != {text}"


def _claim(name: str) -> str:
    return f"{_CLAIMS}[{quoted(name)}]"


def _answered(name: str) -> str:
    path = quoted(f"$['{name}']")
    return f"#jsonPath({_ANSWER}, {path})"


def _none_of(claim: str, values: list[str]) -> str:
    """Return the condition that a claim has none of some values, as one text or in a list."""
    # `contains` of a text would look for letters: commas around make it whole words. A list of an
    # issuer's answer prints as JSON, with quotes and escaped slashes.
    plain = "".join(f".replace('{letter}', '')" for letter in '[]"\\')
    listed = f"('[' + {claim}.toString(){plain} + ']')"
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
    texts = [config["issuer"], *config["audiences"], *_texts(config["requiredClaims"])]
    for text in texts:
        if value_fault(text) or any(letter in text for letter in '[]{}"\\'):
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


def _node_losses(config: Config, info: GatewayInfo) -> Iterator[Loss]:
    at = ("config", "jwksUri")
    if "jwksUri" in config:
        return
    if info.options.find_introspection(config) is None:
        yield Loss(
            "no jwksUri: Gravitee does not look for the keys of an issuer, so write where they "
            "are, or name its introspection endpoint in options.introspections of the gateway",
            at=at,
        )
    elif _PLUGIN not in info.policies or _PLUGIN not in info.resources:
        yield Loss(
            f"no jwksUri: {_PLUGIN}, which asks the issuer, is not installed on this gateway",
            at=at,
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
    node_losses=_node_losses,
    has_memory=True,
)
