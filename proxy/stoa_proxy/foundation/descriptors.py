"""Bounds that follow from the file descriptors that the process may have."""

from __future__ import annotations

import contextlib
import resource

from stoa_proxy.errors import ConfigInvalid

# Also where descriptors are unlimited: memory is not.
_MOST = 10_000
_LEAST = 4
# Of the descriptors, for clients of the data plane.
_PROXY_PART = 3
# Descriptors for _MOST clients. Not all that a system grants, which may be a milliard: children
# inherit the limit, and old programs close every descriptor up to it.
_ENOUGH = 65_536
# Requests in flight that one tenant, and one upstream of it, may have.
_TENANT_PART, _UPSTREAM_PART = 2, 4
# Of one client, so that four of them are needed to take all; and what even small processes grant.
_CLIENT_PART, _LEAST_SHARE = 4, 16


def raise_descriptor_limit() -> None:
    """Let the process have as many descriptors as it may take without rights, and as we need.

    Where the system refuses, the limit stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if most > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def max_connections(asked: int | None) -> int:
    """Return the bound of client connections: what is asked for, or a third of the descriptors.

    Each of them may need one more to its upstream, so the other thirds are for those and for all
    else that the process opens. Raises ConfigInvalid when more than half of them is asked for.
    """
    try:
        return bounded_by_descriptors(asked, _MOST, _PROXY_PART)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"STOA_MAX_CONNECTIONS {error}") from None


def bounded_by_descriptors(asked: int | None, most: int, part: int) -> int:
    """Return what is asked for, or `most`, or one of `part` parts of the descriptors if less.

    Raises ConfigInvalid when more than half of the descriptors is asked for; its message begins
    with the verb.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_unbounded = soft == resource.RLIM_INFINITY
    if asked is None:
        return most if is_unbounded else max(_LEAST, min(most, soft // part))
    if not is_unbounded and asked > soft // 2:
        raise ConfigInvalid(
            f"is {asked}, and the process may open {soft} files: ask for {soft // 2} at most, or "
            "raise that limit (ulimit -n)"
        )
    return asked


def connections_per_client(asked: int | None, connections: int) -> int:
    """Return the bound of one client: what is asked for, or a quarter of all `connections`."""
    return _part(asked, connections // _CLIENT_PART)


def requests_per_tenant(asked: int | None, connections: int) -> int:
    """Return the bound of one tenant: what is asked for, or half of all `connections`."""
    return _part(asked, connections // _TENANT_PART)


def requests_per_upstream(asked: int | None, connections: int) -> int:
    """Return the bound of one upstream: what is asked for, or a quarter of all `connections`."""
    return _part(asked, connections // _UPSTREAM_PART)


def _part(asked: int | None, derived: int) -> int:
    return max(_LEAST_SHARE, derived) if asked is None else asked
