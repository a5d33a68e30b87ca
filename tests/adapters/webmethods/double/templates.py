"""Policy stages and templates: what an action may hold, as `GET /policyActionTemplates` has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.adapters.webmethods.double.answers import Refused, Tree


@dataclass(frozen=True)
class Parameter:
    """A leaf with values, or a branch with parameters of its own."""

    key: str
    is_required: bool = False
    is_array: bool = False
    values: tuple[str, ...] = ()
    parts: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Template:
    """`parameters` None: the contract does not say which there are, so any are taken."""

    key: str
    name: str
    stage: str
    parameters: tuple[Parameter, ...] | None = None
    is_single: bool = False
    dependent: tuple[str, ...] = ()
    read_name: str = ""  # what it is called on read-back, whatever was sent
    types: tuple[str, ...] = field(default=("REST", "SOAP"))


def _leaf(key: str, *values: str, required: bool = False, many: bool = False) -> Parameter:
    return Parameter(key, required, many, values)


_BOOLEAN = ("true", "false")
_LOGICAL = ("AND", "OR")
_DESTINATION = Parameter(
    "destination", True, True,
    parts=(
        _leaf("destinationType", "GATEWAY", "SMTP", "localLog", "CUSTOM", required=True),
        _leaf("emailTo", many=True), _leaf("logLevel"), _leaf("customDestinationIds", many=True),
    ),
)  # fmt: skip
_UNITS = ("minutes", "hours", "days", "calendar_week", "calendar_month")
_THROTTLE = (
    Parameter(
        "throttleRule", True, True,
        parts=(
            _leaf("throttleRuleName", "requestCount", required=True),
            _leaf("monitorRuleOperator", "GT", required=True),
            _leaf("value", required=True),
        ),
    ),
    _leaf("consumerIds", many=True, required=True),
    _leaf("consumerSpecificCounter", *_BOOLEAN),
    _leaf("alertInterval", required=True), _leaf("alertIntervalUnit", *_UNITS, required=True),
    _leaf("alertFrequency", "once", "always"), _leaf("alertMessage"), _DESTINATION,
)  # fmt: skip
_CORS = Parameter(
    "corsAttributes", True,
    parts=(
        _leaf("allowedOrigins", many=True), _leaf("allowHeaders", many=True),
        _leaf("exposeHeaders", many=True), _leaf("allowCredentials", *_BOOLEAN),
        _leaf("allowMethods", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", many=True),
        _leaf("maxAge"),
    ),
)  # fmt: skip
_IDENTIFICATION = (
    "apiKey", "httpBasicAuth", "hostNameAddress", "ipAddressRange", "jwtClaims", "openIdClaims",
    "oAuth2Token", "httpsCertificate", "payloadElement", "token", "httpHeaders", "kerberosToken",
    "wssUsernameToken", "wssX509Token", "jwt",
)  # fmt: skip
_RULE = Parameter(
    "IdentificationRule", True, True,
    parts=(
        _leaf("applicationLookup", "strict", "open", "relax", required=True),
        _leaf("identificationType", *_IDENTIFICATION, required=True),
    ),
)  # fmt: skip
_ROUTE = (
    _leaf("endpointUri", required=True), _leaf("method"),
    Parameter("sslConfig", parts=(_leaf("keyStoreAlias"), _leaf("keyAlias"))),
)  # fmt: skip
_SECURITY = Parameter(
    "transportSecurity", True,
    parts=(
        _leaf("authType", "ALIAS", "HTTP_BASIC", "NTLM", "OAUTH2", "KERBEROS", "JWT",
              "REMOVE_INCOMING_HTTP_HEADERS", required=True),
        _leaf("authMode"), _leaf("alias"),
        Parameter("httpAuthCredentials",
                  parts=(_leaf("userName"), _leaf("password"), _leaf("domain"))),
    ),
)  # fmt: skip
_STORES = ("storeRequestHeaders", "storeRequestPayload", "storeResponseHeaders",
           "storeResponsePayload", "storeClientMessage", "storeServerMessage",
           "storeAsZip")  # fmt: skip
_LOG = (
    *(_leaf(one, *_BOOLEAN) for one in _STORES),
    _leaf("logGenerationFrequency", "Always", "OnSuccess", "OnFailure", required=True),
    _DESTINATION,
)
_ANY = (
    ("setMediaType", "transport"), ("authorizeUser", "IAM"),
    ("validateAPISpec", "requestPayloadProcessing"),
    ("requestTransformation", "requestPayloadProcessing"),
    ("requestInvokeESB", "requestPayloadProcessing"),
    ("requestDataMasking", "requestPayloadProcessing"),
    ("loadBalancerRouting", "routing"), ("contentBasedRouting", "routing"),
    ("contextBasedRouting", "routing"), ("dynamicRouting", "routing"),
    ("customHttpHeaders", "routing"), ("outboundMessageAuthentication", "routing"),
    ("enableJmsORAmqp", "routing"), ("serviceResultCache", "LMT"), ("monitorSLA", "LMT"),
    ("monitorServicePerformance", "LMT"), ("responseTransformation", "responseProcessing"),
    ("responseInvokeESB", "responseProcessing"), ("responseDataMasking", "responseProcessing"),
    ("conditionalErrorProcessing", "responseFaultProcessing"),
    ("faultDataMasking", "responseFaultProcessing"), ("customPolicy", "responseProcessing"),
    ("globalipdos", "threatProtection"), ("ipdos", "threatProtection"),
    ("MsgSizeLimitFilter", "threatProtection"),
)  # fmt: skip

STAGES = ("threatProtection", "transport", "IAM", "requestPayloadProcessing", "routing", "LMT",
          "responseProcessing", "responseFaultProcessing")  # fmt: skip
TEMPLATES: dict[str, Template] = {
    one.key: one
    for one in (
        Template("entryProtocolPolicy", "Enable HTTP / HTTPS", "transport",
                 (_leaf("protocol", "http", "https", required=True, many=True),
                  _leaf("soapVersion", "soap", "soap12")), True),
        Template("evaluatePolicy", "Identify & Authorize", "IAM",
                 (_leaf("logicalConnector", *_LOGICAL, required=True),
                  _leaf("allowAnonymous", *_BOOLEAN),
                  _leaf("triggerPolicyViolationOnMissingAuthorizationHeader", *_BOOLEAN), _RULE),
                 True, read_name="Identify & Authorize"),
        Template("straightThroughRouting", "Straight Through Routing", "routing", _ROUTE, True),
        Template("outboundTransportAuthentication", "Outbound Authentication - Transport",
                 "routing", (_SECURITY,), True),
        Template("throttle", "Traffic Optimization", "LMT", _THROTTLE,
                 dependent=("evaluatePolicy",)),
        Template("logInvocation", "Log Invocation", "LMT", _LOG),
        Template("cors", "CORS", "responseProcessing", (_CORS,), True, types=("REST",)),
        *(Template(key, key, stage, is_single=key == "serviceResultCache")
          for key, stage in _ANY),
    )
}  # fmt: skip


def check_action(action: Any) -> None:
    """Reject an action that the gateway would not take. Raises Refused."""
    if not isinstance(action, dict) or action.get("templateKey") not in TEMPLATES:
        raise _payload("unknown templateKey")
    template = TEMPLATES[action["templateKey"]]
    nodes = action.get("parameters")
    if not isinstance(nodes, list):
        raise _payload("parameters is no list")
    if template.key == "outboundTransportAuthentication" and not any(
        node.get("templateKey") == "transportSecurity" for node in nodes
    ):
        # The flat form (contract A.4).
        raise Refused(500, "java.lang.NullPointerException")
    _check_nodes(nodes, template.parameters)


def _check_nodes(nodes: list[Tree], allowed: tuple[Parameter, ...] | None) -> None:
    known = None if allowed is None else {one.key: one for one in allowed}
    seen: set[str] = set()
    for node in nodes:
        key = node.get("templateKey")
        if not isinstance(key, str):
            raise _payload("a parameter without templateKey")
        values = node.get("values") or []
        if not all(isinstance(value, str) for value in values):
            raise _payload(f"values of {key} must be strings")
        if known is None:
            _check_nodes(node.get("parameters") or [], None)
            continue
        if key not in known:
            raise _payload(f"unknown parameter {key}")
        what = known[key]
        if (key in seen or len(values) > 1) and not what.is_array:
            raise _payload(f"{key} occurs once")
        if what.values and set(values) - set(what.values):
            raise _payload(f"invalid value of {key}")
        seen.add(key)
        _check_nodes(node.get("parameters") or [], what.parts)
    for one in (known or {}).values():
        if one.is_required and one.key not in seen:
            raise _payload(f"{one.key} is required")


def _payload(why: str) -> Refused:
    return Refused(400, f"Unable to create the resource. Error in processing the payload: {why}")


def names(value: str) -> list[Tree]:
    return [{"value": value, "locale": "en"}]


def stages() -> list[Tree]:
    return [
        {"stageKey": stage, "names": names(stage), "descriptions": [], "sequence": "insequence",
         "policyActionTemplates": [one.key for one in TEMPLATES.values() if one.stage == stage]}
        for stage in STAGES
    ]  # fmt: skip


def shown(template: Template) -> Tree:
    parameters = template.parameters or ()
    return {
        "templateKey": template.key,
        "names": names(template.name),
        "descriptions": [],
        "applicableServiceTypes": list(template.types),
        "parameterTemplates": [_shown_parameter(one) for one in parameters],
        "occurence": "once" if template.is_single else "multiple",
        "dependentActions": list(template.dependent) or None,
        "mutuallyExclusiveActions": None,
        "requiredParametersKeys": [one.key for one in parameters if one.is_required],
        "canAppliedAtResourceMethodLevel": template.stage not in ("transport", "threatProtection"),
    }


def _shown_parameter(one: Parameter) -> Tree:
    possible = [{"names": names(value), "value": value} for value in one.values]
    return {
        "templateKey": one.key,
        "names": names(one.key),
        "type": "COMPOSITE" if one.parts else "STRING",
        "isArray": one.is_array,
        "isRequired": one.is_required,
        "possibleValues": possible or None,
        "parameterTemplates": [_shown_parameter(part) for part in one.parts],
    }
