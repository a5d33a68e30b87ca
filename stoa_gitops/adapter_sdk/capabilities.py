"""Description of what a gateway can hold: capabilities, write granularity, comparison rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.routing import SEGMENTS, Router
from stoa_gitops.model.secret import withheld


class Granularity(Enum):
    """The smallest unit that a vendor can write.

    UNIT is an API with its policies and applications, several of which make one call (`units`).
    """

    RESOURCE = "resource"
    UNIT = "unit"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Capability:
    """One declared ability.

    reason   what the gateway does instead, for a person; required where `supported` is False
    depends  True if only the running gateway can tell (a plugin, an extension)
    """

    supported: bool
    reason: str = ""
    depends: bool = False


Capabilities: TypeAlias = Mapping[str, Capability]
"""By name; a name that is not declared is unsupported. The names are:

- objects: `api`, `application`, `policy:<type>`, `credential:<type>`, and the extended kinds of
  `model.kinds` (`auth_server`, `strategy`, `scope`, `alias`, `config`, `global_policy`)
- fields: `plans`, `hosts`, `route_headers`, `path_parameters`, `strip_path:false`, `timeout`,
  `retries`, `fallback`,
  `backend_auth:header`, `backend_auth:query`, `backend_auth:basic`,
  `backend_auth:oauth2_client_credentials`, `backend_tls` (certificates and issuers of a document),
  `multiple_routes`, `builtin_echo`, `inactive`,
  `backends` (several of them), `health_check:active`, `health_check:passive`,
  `soap` (an API that a WSDL describes),
  `either_credential` (a key or a token lets in, where an API has both policies)
- methods: `archive`
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """Pure functions that tell the planner how specs compare on this vendor's gateways.

    project   reduces a canonical desired spec to what the vendor can hold, its defaults filled in:
              the same form that `list_*` reports. None: the gateway holds every spec as given,
              secrets withheld
    losses    parts of a canonical spec that the vendor cannot express, beside what capabilities
              already tell. None: nothing gets lost
    refuse_adoption  why a foreign object, in the form that `list_*` reports, cannot be adopted
              because its requests would go elsewhere; empty where it can. None: all can be
    router    how the gateway chooses among routes, which decides who takes whose requests
    combined  what it cannot express of an API together with its policies (by type), though it could
              each of them alone; a loss may be at `("policies", type)`. None: nothing gets lost
    """

    project: Callable[[str, JsonObject], JsonObject] | None = None
    losses: Callable[[str, JsonObject], tuple[Loss, ...]] | None = None
    refuse_adoption: Callable[[str, JsonObject], str] | None = None
    router: Router = SEGMENTS
    combined: Callable[[Spec, Mapping[str, Spec]], tuple[Loss, ...]] | None = None

    def expected(self, kind: str, spec: JsonObject) -> JsonObject:
        """Return the form in which `list_*` reports a desired spec once it is written."""
        if self.project is not None:
            return self.project(kind, spec)
        return {name: withheld(item) for name, item in spec.items()}
