"""The policy action templates that we write, each with a strict schema of its parameters. Pure.

The vendor's own contract takes any tree of parameters: it cannot tell a right `throttle` from a
wrong one (contract webmethods.md B). Keys, values and how often each may occur are those of A.4 and
of the vendor's collections of requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.parts import JsonTree

_NUMBER: Final = "^[1-9][0-9]*$"
_COUNT: Final = "^[0-9]+$"
_BOOLEAN: Final = ("true", "false")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: with values, or with parameters of its own.

    values      those that it may have; none: any text that fits `pattern`
    parts       its own parameters; with some it has no values
    is_needed   it occurs at least once
    is_repeated it may occur more than once
    has_many    it may have several values, or none
    """

    values: tuple[str, ...] = ()
    pattern: str = ""
    parts: Mapping[str, Parameter] | None = None
    is_needed: bool = True
    is_repeated: bool = False
    has_many: bool = False


_TEXT: Final = Parameter(pattern=".")
_TEXTS: Final = Parameter(has_many=True)
_FLAG: Final = Parameter(_BOOLEAN)
_DESTINATION: Final = Parameter(
    parts={"destinationType": Parameter(("GATEWAY",))}, is_repeated=True
)
_CHANGES: Final = Parameter(
    parts={
        "commonTransformation": Parameter(
            parts={
                "remove": Parameter(pattern=r"^\$\{", has_many=True, is_needed=False),
                "addOrModify": Parameter(
                    parts={
                        "transformationVariable": Parameter(pattern=r"^\$\{(request|response)\."),
                        "transformationValue": Parameter(),
                    },
                    is_needed=False,
                    is_repeated=True,
                ),
            }
        )
    }
)

TEMPLATES: Final[Mapping[str, Mapping[str, Parameter]]] = {
    "entryProtocolPolicy": {
        "protocol": Parameter(("http", "https"), has_many=True),
        "soapVersion": Parameter(("soap", "soap12"), is_needed=False),
    },
    "evaluatePolicy": {
        "logicalConnector": Parameter(("AND", "OR")),
        "allowAnonymous": _FLAG,
        "IdentificationRule": Parameter(
            parts={
                "applicationLookup": Parameter(("strict", "open")),
                "identificationType": Parameter(("apiKey", "jwtClaims")),
            },
            is_repeated=True,
        ),
    },
    "straightThroughRouting": {
        "endpointUri": Parameter(pattern=r"/\$\{sys:resource_path\}$"),
        "method": Parameter(("CUSTOM",)),
    },
    "customHttpHeaders": {
        "header": Parameter(parts={"headerKey": _TEXT, "headerValue": _TEXT}, is_repeated=True)
    },
    "throttle": {
        "throttleRule": Parameter(
            parts={
                "throttleRuleName": Parameter(("requestCount",)),
                "monitorRuleOperator": Parameter(("GT",)),
                "value": Parameter(pattern=_NUMBER),
            }
        ),
        "consumerIds": _TEXTS,
        "consumerSpecificCounter": _FLAG,
        "alertInterval": Parameter(pattern=_NUMBER),
        "alertIntervalUnit": Parameter(
            ("minutes", "hours", "days", "calendar_week", "calendar_month")
        ),
        "alertFrequency": Parameter(("once",)),
        "alertMessage": _TEXT,
        "destination": _DESTINATION,
    },
    "logInvocation": {
        **{
            f"store{name}": _FLAG
            for name in (
                "RequestHeaders", "RequestPayload", "ResponseHeaders", "ResponsePayload",
                "ClientMessage", "ServerMessage", "AsZip",
            )
        },
        "logGenerationFrequency": Parameter(("Always",)),
        "destination": _DESTINATION,
    },
    "cors": {
        "corsAttributes": Parameter(
            parts={
                "allowedOrigins": _TEXTS,
                "allowHeaders": _TEXTS,
                "exposeHeaders": _TEXTS,
                "allowCredentials": _FLAG,
                "allowMethods": Parameter(
                    ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"), has_many=True
                ),
                "maxAge": Parameter(pattern=_COUNT, is_needed=False),
            }
        )
    },
    "requestTransformation": {"requestTransformationConfiguration": _CHANGES},
    "responseTransformation": {"requestTransformationConfiguration": _CHANGES},
}  # fmt: skip
"""By `templateKey`: the parameters of its actions by key."""


def schema_of(template: str) -> JsonTree:
    """Return the JSON Schema (draft 2020-12) of the `parameters` of an action."""
    return _list_schema(TEMPLATES[template])


def _list_schema(parameters: Mapping[str, Parameter]) -> JsonTree:
    found: JsonTree = {
        "type": "array",
        "items": {"anyOf": [_node_schema(key, one) for key, one in parameters.items()]},
    }
    counts = [
        {
            "contains": {"properties": {"templateKey": {"const": key}}},
            "minContains": int(one.is_needed),
            **({} if one.is_repeated else {"maxContains": 1}),
        }
        for key, one in parameters.items()
    ]
    return {**found, "allOf": counts}


def _node_schema(key: str, parameter: Parameter) -> JsonTree:
    if parameter.parts is not None:
        held, inner = "parameters", _list_schema(parameter.parts)
    else:
        text: dict[str, Any] = {"type": "string"}
        if parameter.values:
            text["enum"] = list(parameter.values)
        if parameter.pattern:
            text["pattern"] = parameter.pattern
        held, inner = "values", {"type": "array", "items": text}
        if not parameter.has_many:
            inner |= {"minItems": 1, "maxItems": 1}
    return {
        "type": "object",
        "properties": {"templateKey": {"const": key}, held: inner},
        "required": ["templateKey", held],
        "additionalProperties": False,
    }
