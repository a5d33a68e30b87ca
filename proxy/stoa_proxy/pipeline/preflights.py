"""Responses to CORS preflights, before any policy asks who is calling."""

from __future__ import annotations

from stoa_proxy.core.match import methods_of, select_route
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.http.heads import RequestHead


def answer_preflight(
    head: RequestHead, match: Match, table: RoutingTable, states: PolicyStates
) -> Respond | None:
    """Return the response to a preflight, by the API of the requested method.

    None without a policy that responds to preflights. They carry no credentials, so they are
    answered before authentication, but not where a `preflight_filter` refuses. No API gives
    permission for the methods of another one on the same path.
    """
    requested = select_route(match, head.value("access-control-request-method") or "")
    for route in match.routes if requested is None else (requested,):
        api = table.api(route.api_id)
        if api.preflight_policy is None:
            continue
        for policy in api.preflight_filters:
            refusal = policy.preflight_filter(head, states)
            if refusal is not None:
                return refusal
        return api.preflight_policy.preflight(head, methods_of(route.api_id, match), states)
    return None
