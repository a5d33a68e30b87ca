"""`ip_filter`: the client addresses that may call, by the connection and never by a header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network, ip_address, ip_network

from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Repeat,
    always_public,
)
from stoa_proxy.core.policy_states import OutcomeCounts, PolicyStates
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.address_guard import Network, NetworkSet, unmap
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.policies.parsing import check_keys, read_strings

# IPv4 addresses as IPv6 sockets show them (RFC 4291, 2.5.5.2).
_MAPPED = IPv6Network("::ffff:0:0/96")


class AddressRefusals(OutcomeCounts):
    """What `ip_filter` refused: requests, and preflights of browsers."""

    metric = "stoa_ip_filter_refusals_total"
    text = "Requests and preflights from addresses that may not call."
    label = "of"
    outcomes = ("request", "preflight")


@dataclass(frozen=True, slots=True)
class IpFilter(Policy):
    """Networks that may and may not call. `deny` wins; an empty `allow` admits everybody.

    A tenant may list as many as it likes: a request takes no longer for it, or others would wait.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    _allowed: NetworkSet = field(init=False, compare=False, repr=False)
    _denied: NetworkSet = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", NetworkSet(self.allow))
        object.__setattr__(self, "_denied", NetworkSet(self.deny))

    def preflight_filter(self, head: RequestHead, states: PolicyStates) -> Respond | None:
        """Refuse a preflight with 403, as the request that it asks for would be."""
        return self._check(head, states, "preflight")

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 403, also a client without an address."""
        return self._check(context.head, context.states, "request")

    def _check(self, head: RequestHead, states: PolicyStates, what: str) -> Respond | None:
        if self.admits(head.client_address):
            return None
        states.of(AddressRefusals).counts[what] += 1
        return _refuse_address()

    @property
    def header_names(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def repeat(self, context: PolicyContext) -> Repeat:
        """Return that nothing is left: the client is the same."""
        return Repeat()

    def admits(self, client_address: str) -> bool:
        """Whether `client_address` (a literal; a zone id is ignored) may call."""
        try:
            address = unmap(ip_address(client_address.partition("%")[0]))
        except ValueError:
            return False
        if address in self._denied:
            return False
        return not self.allow or address in self._allowed


def _refuse_address() -> Respond:
    detail = "Calls from this address are not allowed."
    return problem(403, "Forbidden", detail, kind="address-refused")


def parse_ip_filter(policy_id: str, config: Mapping[str, object]) -> IpFilter:
    """Return an IpFilter for `{allow, deny}`. Raises ValueError."""
    check_keys(config, ("allow", "deny"))
    if not config:
        raise ValueError("config must have 'allow' or 'deny'")
    return IpFilter(_read_networks(config, "allow"), _read_networks(config, "deny"))


def _read_networks(config: Mapping[str, object], key: str) -> tuple[Network, ...]:
    try:
        return tuple(_unmap_network(ip_network(text)) for text in read_strings(config, key))
    except ValueError as error:
        raise ValueError(f"config.{key}: {error}") from None


def _unmap_network(network: Network) -> Network:
    """Return a network of IPv4-mapped addresses as the IPv4 network that it means."""
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    address = network.network_address.ipv4_mapped
    # The first 96 bits are those of the mapping.
    return ip_network(f"{address}/{network.prefixlen - 96}")


POLICY = PolicyType(
    "ip_filter",
    Phase.CLIENT_ADDRESS,
    parse_ip_filter,
    '`{"allow"?: [address or CIDR], "deny"?: []}`, one of them at least; compared with the address '
    "of the connection, `deny` wins, an empty `allow` is everybody",
    statuses=(403,),
    is_public=always_public,
    states=(AddressRefusals,),
)
