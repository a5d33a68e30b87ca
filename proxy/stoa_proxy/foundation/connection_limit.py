"""The bound of client connections, by the file descriptors that the process may have."""

from __future__ import annotations

import resource

from stoa_proxy.errors import ConfigInvalid

# Also where descriptors are unlimited: memory is not.
_MOST = 10_000
_LEAST = 4


def max_connections(asked: int | None) -> int:
    """Return the bound of client connections: what is asked for, or a third of the descriptors.

    Each of them may need one more to its upstream, so the other thirds are for those and for all
    else that the process opens. Raises ConfigInvalid when more than half of them is asked for.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_unbounded = soft == resource.RLIM_INFINITY
    if asked is None:
        return _MOST if is_unbounded else max(_LEAST, min(_MOST, soft // 3))
    if not is_unbounded and asked > soft // 2:
        raise ConfigInvalid(
            f"STOA_MAX_CONNECTIONS is {asked}, and the process may open {soft} files: ask for "
            f"{soft // 2} at most, or raise that limit (ulimit -n)"
        )
    return asked
