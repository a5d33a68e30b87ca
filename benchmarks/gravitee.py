"""A Gravitee with 1,000 APIs: the first apply, a light cycle, a deep one (`whole_gateway`).

python -m benchmarks.gravitee [--apis 1000]
"""

from __future__ import annotations

from benchmarks import whole_gateway
from benchmarks.kong import resources


def main() -> None:
    whole_gateway.main(whole_gateway.Subject("gravitee", 12, resources))


if __name__ == "__main__":
    main()
