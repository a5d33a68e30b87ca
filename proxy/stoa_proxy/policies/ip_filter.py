"""`ip_filter`: the addresses that may call, judged on the connection's other end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address, ip_network

from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.core.problems import problem
from stoa_proxy.foundation.address_guard import Network, is_in_any, unmap
from stoa_proxy.policies.parsing import check_keys, read_strings

_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class IpFilter(Policy):
    """Networks that may and may not call. `deny` wins; an empty `allow` is everybody."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Refuse with 403, also a client without an address."""
        if self.admits(context.head.client_address):
            return None
        return refuse_address()

    def admits(self, client_address: str) -> bool:
        """Whether `client_address` (a literal, a zone id is ignored) may call."""
        try:
            address = unmap(ip_address(client_address.partition("%")[0]))
        except ValueError:
            return False
        if is_in_any(address, self.deny):
            return False
        return not self.allow or is_in_any(address, self.allow)


def refuse_address() -> Respond:
    """The response to a client whose address may not call."""
    return problem(403, "Forbidden", "Calls from this address are not allowed.")


def parse_ip_filter(policy_id: str, config: Mapping[str, object]) -> IpFilter:
    """An IpFilter from `{allow, deny}`. Raises ValueError."""
    check_keys(config, ("allow", "deny"))
    if not config:
        raise ValueError("config must have 'allow' or 'deny'")
    return IpFilter(_read_networks(config, "allow"), _read_networks(config, "deny"))


def _read_networks(config: Mapping[str, object], key: str) -> tuple[Network, ...]:
    try:
        return tuple(_plain(ip_network(text)) for text in read_strings(config, key))
    except ValueError as error:
        raise ValueError(f"config.{key}: {error}") from None


def _plain(network: Network) -> Network:
    """A network of IPv4-mapped addresses as the IPv4 network that it means."""
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    address = network.network_address.ipv4_mapped
    return ip_network(f"{address}/{network.prefixlen - 96}")
