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
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stoa_gitops.fleet.health import Figures
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.members import SILENCE, Fleet
from stoa_gitops.fleet.registration import Registration

BEAT = 30.0
PAUSES = 0.003
STEPS = 0.003


@dataclass
class Seen:
    """How late each gateway was OFFLINE, in seconds, and which were so wrongly."""

    late: dict[str, float] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    peer_wrong: set[str] = field(default_factory=set)


class Simulation:
    """Gateways that send heartbeats until each falls silent, and the fleet that hears them."""

    def __init__(self, gateways: int, seconds: int, chance: random.Random) -> None:
        self.seconds, self.chance = seconds, chance
        self.fleet, self.now, self.wall = Fleet(), 0.0, datetime(2026, 1, 1, tzinfo=UTC)
        ids = [self.register(number) for number in range(gateways)]
        self.heard, self.heard_wall = dict.fromkeys(ids, self.now), dict.fromkeys(ids, self.wall)
        # Every gateway falls silent once, in the last third: all others of a moment are alive.
        end = seconds * (2 / 3)
        self.silent = {one: end + chance.uniform(0, seconds / 6) for one in ids}
        self.due = {one: chance.uniform(0, BEAT) for one in ids}

    def register(self, number: int) -> str:
        one = Registration.named(
            f"gw-{number}", Mode.EDGE_MCP, "prod", version="1", admin_url="http://10.0.0.1:8080"
        )
        self.fleet.register(one, self.now, self.wall)
        return one.id

    def run(self) -> Seen:
        seen, quiet_until = Seen(), 0.0
        while self.now < self.seconds + SILENCE + 150:
            if self.pass_time() > 1.0:
                # After a standstill nobody is told before all could be heard again.
                quiet_until = self.now + BEAT
            self.send_beats()
            for moved in self.fleet.tick(self.now, self.wall):
                if self.is_alive(moved.id):
                    seen.wrong.add(moved.id)
                else:
                    start = max(self.heard[moved.id] + SILENCE, quiet_until)
                    seen.late[moved.id] = self.now - start
            seen.peer_wrong |= {one for one in self.peer_offline() if self.is_alive(one)}
        return seen

    def pass_time(self) -> float:
        """Return the seconds that pass until the process looks again."""
        step = self.chance.uniform(6, 120) if self.chance.random() < PAUSES else 1.0
        self.now += step
        self.wall += timedelta(seconds=step)
        if self.chance.random() < STEPS:
            self.wall += timedelta(hours=self.chance.choice((-1, 1)))
        return step

    def send_beats(self) -> None:
        for one, due in self.due.items():
            if due <= self.now and self.is_alive(one):
                self.fleet.beat(one, Figures(int(self.now)), self.now, self.wall)
                self.heard[one], self.heard_wall[one] = self.now, self.wall
                self.due[one] = self.now + BEAT * self.chance.uniform(0.8, 1.2)

    def is_alive(self, one: str) -> bool:
        """Whether a gateway goes on sending heartbeats."""
        return self.due[one] < self.silent[one]

    def peer_offline(self) -> Iterator[str]:
        """Yield whom the peer takes for OFFLINE: by the time of day."""
        limit = self.wall - timedelta(seconds=SILENCE)
        return (one for one, heard in self.heard_wall.items() if heard < limit)


def main() -> None:
    """Print both lanes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    simulation = Simulation(options.gateways, options.seconds, random.Random(options.seed))
    began = time.process_time()
    seen = simulation.run()
    used = time.process_time() - began
    worst = max(seen.late.values(), default=0.0)
    print(f"{options.gateways} gateways, {options.seconds} s simulated, seed {options.seed}")
    print(f"fleet: {len(seen.late)} of {options.gateways} OFFLINE, the latest {worst:.1f} s after")
    print(f"       its 90th second; wrongly OFFLINE: {len(seen.wrong)}; {used:.1f} s of CPU")
    print(f"wall clock rule: wrongly OFFLINE at some time: {len(seen.peer_wrong)}")
    if len(seen.late) != options.gateways or seen.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
