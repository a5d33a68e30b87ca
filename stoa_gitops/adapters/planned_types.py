"""Gateway types that catalogs may name already and that no adapter serves yet.

STOA's documents name them, so a catalog with one is valid; its gateways report
`GatewayTypeUnsupported` and are left alone. Once a folder serves a type, its AdapterInfo takes the
place of the entry here.
"""

from __future__ import annotations

from typing import Final

from stoa_gitops.model.gateway_types import GatewayTypeInfo

PLANNED_TYPES: Final = (
    GatewayTypeInfo("apigee", "Apigee", has_one_name_space=True),
    GatewayTypeInfo("aws_apigateway", "AWS API Gateway", has_one_name_space=True),
)
