"""A webMethods with 1,000 APIs: the first apply, a light cycle, a deep one (`whole_gateway`).

python -m benchmarks.webmethods [--apis 1000]
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks import whole_gateway
from benchmarks.kong import resources
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource


def wanted_of(count: int) -> dict[Key, Resource]:
    """The documents of benchmarks.kong, written in part where webMethods cannot do all of them."""
    return {
        key: replace(one, hints=replace(one.hints, on_unsupported="warn"))
        for key, one in resources(count).items()
    }


def main() -> None:
    whole_gateway.main(whole_gateway.Subject("webmethods", 3, wanted_of))


if __name__ == "__main__":
    main()
