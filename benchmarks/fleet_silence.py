"""Half an hour of a thousand gateways, simulated: when is one OFFLINE, and is one ever wrongly?

Beside the fleet the rule that first comes to mind: OFFLINE once the last heartbeat is 90 s old by
the wall clock. Heartbeats come with jitter, the process stands still for up to two minutes now and
then (and hears nothing), and the wall clock steps by an hour both ways.

    python -m benchmarks.fleet_silence [--gateways 1000] [--seconds 1800] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import time
from datetime import UTC, datetime, timedelta

from stoa_gitops.fleet.health import Figures, GatewayStatus
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.members import SILENCE, Fleet
from stoa_gitops.fleet.registration import Registration

BEAT = 30.0
PAUSES = 0.003
STEPS = 0.003


class WallClockRule:
    """The peer: a gateway is OFFLINE while its last heartbeat is old by the time of day."""

    def __init__(self) -> None:
        self.heard: dict[str, datetime] = {}

    def offline(self, at: datetime) -> set[str]:
        limit = timedelta(seconds=SILENCE)
        return {one for one, heard in self.heard.items() if at - heard > limit}


def main() -> None:
    """Print both lanes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    registrations = [
        Registration.named(
            f"gw-{number}", Mode.EDGE_MCP, "prod", version="1", admin_url="http://10.0.0.1:8080"
        )
        for number in range(options.gateways)
    ]
    # Every gateway falls silent once, in the last third: all others of a moment are alive.
    silent = {
        one.id: options.seconds * (2 / 3) + chance.uniform(0, options.seconds / 6)
        for one in registrations
    }
    due = {one.id: chance.uniform(0, BEAT) for one in registrations}
    last: dict[str, float] = {}
    fleet, peer = Fleet(), WallClockRule()
    now, wall = 0.0, datetime(2026, 1, 1, tzinfo=UTC)
    for one in registrations:
        fleet.register(one, now, wall)
        peer.heard[one.id], last[one.id] = wall, now
    late: dict[str, float] = {}
    wrong: set[str] = set()
    peer_wrong: set[str] = set()
    is_paused_until = 0.0
    began = time.process_time()
    while now < options.seconds + SILENCE + 150:
        step = chance.uniform(6, 120) if chance.random() < PAUSES else 1.0
        now += step
        wall += timedelta(seconds=step)
        if chance.random() < STEPS:
            wall += timedelta(hours=chance.choice((-1, 1)))
        if step > 1.0:
            is_paused_until = now + BEAT
        for one in registrations:
            if due[one.id] <= now and due[one.id] < silent[one.id]:
                fleet.beat(one.id, Figures(int(now)), now, wall)
                peer.heard[one.id], last[one.id] = wall, now
                due[one.id] = now + BEAT * chance.uniform(0.8, 1.2)
        for moved in fleet.tick(now, wall):
            if moved.after is GatewayStatus.OFFLINE:
                if due[moved.id] < silent[moved.id]:
                    wrong.add(moved.id)
                else:
                    # While this process stood still, and until all could be heard, nobody is told.
                    start = max(last[moved.id] + SILENCE, is_paused_until)
                    late[moved.id] = now - start
        peer_wrong |= {one for one in peer.offline(wall) if due[one] < silent[one]}
    seconds = time.process_time() - began
    worst = max(late.values(), default=0.0)
    print(f"{options.gateways} gateways, {options.seconds} s simulated, seed {options.seed}")
    print(f"fleet: {len(late)} of {options.gateways} OFFLINE, the latest {worst:.1f} s after its")
    print(f"       90th second; wrongly OFFLINE: {len(wrong)}; {seconds:.1f} s of CPU")
    print(f"wall clock rule: wrongly OFFLINE at some time: {len(peer_wrong)}")
    if len(late) != options.gateways or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
