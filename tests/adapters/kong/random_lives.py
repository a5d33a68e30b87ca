"""Random lives of a node.

A catalog that changes, somebody else who writes, and things that go wrong.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from stoa_gitops.model.keys import Key
from tests.adapters.kong.testbed import MARK, Specs, Testbed, foreign_for, policy
from tests.contract.rig import api

NAMES = ("billing", "crm", "orders", "stock", "mail")
CONFIGS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "rate_limit": lambda dice: {"requests": dice.randint(1, 99), "window": "1m", "by": "consumer"},
    "quota": lambda dice: {"requests": dice.randint(100, 999), "period": "day", "by": "consumer"},
    "cors": lambda dice: {
        "origins": [f"https://{dice.choice('abc')}.example"],
        "credentials": False,
    },
    "api_key": lambda dice: {
        "in": "header",
        "name": dice.choice(["X-Key", "apikey"]),
        "hide": True,
    },
    "ip_filter": lambda dice: {"allow": [f"10.0.{dice.randint(0, 9)}.0/24"], "deny": []},
    "headers": lambda dice: {
        "request": {"set": {"X-From": str(dice.randint(0, 9))}, "add": {}, "remove": []}
    },
    "request_size": lambda dice: {"max": f"{dice.randint(1, 9)}MB"},
    "mock": lambda dice: {"status": 200, "headers": {}, "body": f"hello {dice.randint(0, 9)}"},
}


class RandomLife:
    """One life, decided by a seed.

    `foreign` is what somebody else has on the node by their own account.
    """

    def __init__(self, testbed: Testbed, version: str, seed: int) -> None:
        self.testbed = testbed
        self.dice = random.Random(seed)
        self.specs: Specs = {}
        self.foreign: dict[str, dict[str, dict[str, Any]]] = {}
        testbed.double.load(foreign_for(version))
        self.foreign = self._theirs()

    async def run(self, steps: int) -> None:
        """Live through some steps, then be left in peace and converge."""
        for _ in range(steps):
            self.edit()
            self.trouble()
            await self.testbed.execute(await self.testbed.plan(self.specs))
            self.testbed.double.on_status = None
            self.testbed.double.heal()
        for _ in range(3):
            plan = await self.testbed.plan(self.specs)
            if plan.is_empty:
                return
            await self.testbed.execute(plan)
        raise AssertionError(f"it does not converge: {plan.changes}")

    def check(self) -> None:
        """What is theirs is as they left it, and what is ours is what the catalog says."""
        assert self.testbed.foreign() == self.foreign
        wanted = {f"acme.{key.name}" for key in self.specs if key.kind == "api"}
        assert set(self.testbed.ours()) == wanted

    # the catalog

    def edit(self) -> None:
        dice, name = self.dice, self.dice.choice(NAMES)
        key = Key("api", "acme", name)
        if key in self.specs and dice.random() < 0.25:
            for other in [k for k in self.specs if k == key or k.name.startswith(f"{name}.")]:
                del self.specs[other]
            self._drop_subscriptions(name)
            return
        self.specs[key] = self._api(name)
        for policy_type, config in CONFIGS.items():
            if dice.random() < 0.3:
                self.specs.update([policy(name, policy_type, config(dice))])
            elif dice.random() < 0.2:
                self.specs.pop(Key("policy", "acme", f"{name}.{policy_type}"), None)
        if dice.random() < 0.4:
            self._subscribe(name)

    def _api(self, name: str) -> dict[str, Any]:
        dice = self.dice
        paths = dice.sample([f"/apis/acme/{name}", f"/{name}", f"/v2/{name}"], dice.randint(1, 2))
        routes = [
            {
                "path": path,
                "methods": dice.choice([[], ["GET"], ["GET", "POST"]]),
                "hosts": [],
                "stripPath": dice.random() < 0.8,
            }
            for path in sorted(paths)
        ]
        backend = {
            "url": f"https://{name}.example/v{dice.randint(1, 3)}",
            "timeout": dice.choice(["30s", "5s"]),
            "retries": dice.randint(0, 2),
        }
        plans = [{"name": "gold", "perMinute": dice.randint(1, 99)}] if dice.random() < 0.3 else []
        return api(name, routes=routes, backend=backend, plans=plans, active=dice.random() < 0.9)

    def _subscribe(self, name: str) -> None:
        spec = self.specs[Key("api", "acme", name)]
        subscription: dict[str, Any] = {"api": name}
        if spec["plans"]:
            subscription["plan"] = "gold"
        self.specs[Key("application", "acme", "mobile")] = {
            "displayName": "Mobile", "identifiers": {},
            "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
            "subscriptions": [subscription],
        }  # fmt: skip

    def _drop_subscriptions(self, name: str) -> None:
        key = Key("application", "acme", "mobile")
        app = self.specs.get(key)
        if app is not None and app["subscriptions"][0]["api"] == name:
            del self.specs[key]

    # everybody else

    def trouble(self) -> None:
        """Let something happen beside the cycle, or nothing."""
        double, dice = self.testbed.double, self.dice
        happenings: list[Callable[[], object]] = [
            lambda: None,
            lambda: None,
            self.write_as_they_do,
            self.drift,
            lambda: setattr(double, "on_status", self._once(self.write_as_they_do)),
            lambda: setattr(double, "on_status", self._once(self.drift)),
            lambda: double.busy(1, 1),
            lambda: double.lose_after_commit(1),
            lambda: double.timeout_after_commit(1, answers_504=True),
            lambda: double.answer_500_without_commit(dice.randint(1, 3)),
            lambda: double.cut_answers(1, match="POST /config"),
            lambda: double.nginx_401(2, match="POST /config"),
            lambda: double.restart("persisted"),
            self.lose_everything,
        ]
        dice.choice(happenings)()

    def write_as_they_do(self) -> None:
        """Change, add or remove what is theirs by a document that holds ours as it is."""
        theirs = copy.deepcopy(self._theirs())
        services = theirs.setdefault("services", {})
        ident = f"44444444-0000-4000-8000-{self.dice.randint(0, 3):012}"
        if ident in services and self.dice.random() < 0.5:
            del services[ident]
        else:
            services[ident] = {
                "id": ident, "name": f"more-{ident[-1]}", "host": "more.example",
                "retries": self.dice.randint(0, 9), "created_at": 1600000100,
            }  # fmt: skip
        self._load(theirs, self._ours())

    def drift(self) -> None:
        """Somebody changes or removes what is ours."""
        ours = self._ours()
        services = list(ours.get("services", {}).values())
        if services:
            chosen = self.dice.choice(services)
            chosen["retries"] = self.dice.randint(3, 9)
            chosen["enabled"] = self.dice.random() < 0.5
        plugins = ours.get("plugins", {})
        if plugins and self.dice.random() < 0.5:
            del plugins[self.dice.choice(sorted(plugins))]
        self._load(self._theirs(), ours)

    def lose_everything(self) -> None:
        self.testbed.double.restart("empty")
        self.foreign = {}

    def _load(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        sections = {
            name: [_bare(e) for held in (theirs, ours) for e in held.get(name, {}).values()]
            for name in theirs.keys() | ours.keys()
        }
        self.testbed.double.load({"_format_version": "3.0", "_transform": False, **sections})
        self.foreign = self.testbed.foreign()

    def _theirs(self) -> dict[str, Any]:
        return self.testbed.foreign()

    def _ours(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                name: {i: e for i, e in held.items() if MARK in (e.get("tags") or ())}
                for name, held in self.testbed.double.entities.items()
            }
        )

    def _once(self, what: Callable[[], None]) -> Callable[[], None]:
        left = [self.dice.randint(0, 3)]

        def strike() -> None:
            left[0] -= 1
            if left[0] == -1:
                what()

        return strike


def _bare(entity: dict[str, Any]) -> dict[str, Any]:
    """Return an entity as somebody would send it: without what Kong adds."""
    tree = {name: value for name, value in entity.items() if value is not None}
    config = tree.get("config")
    if isinstance(config, dict) and isinstance(config.get("redis"), dict):
        tree["config"] = {n: v for n, v in config.items() if not n.startswith("redis_")}
    return tree
