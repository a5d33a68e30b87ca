"""Reading again only what was written since: the same answer as reading everything."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.store import Scope
from stoa_gitops.store.sqlite import BlockingStore
from stoa_gitops.store.sqlite import write_log as log_module
from tests.unit.store.world import BILLING, CRM, SCOPE, entry, record

OTHER = Scope(SCOPE.owner, "kong-dev", SCOPE.base_url)
MOVED = Scope(SCOPE.owner, SCOPE.gateway, "https://elsewhere")


def test_nothing_written_gives_the_very_mapping(store: BlockingStore) -> None:
    store.record_cycle(SCOPE, entry(records=(record(),)))
    known, version = store.load_records(SCOPE), store.version()
    store.record_cycle(OTHER, entry(records=(record(CRM),)))
    assert store.reload_records(SCOPE, known, version) is known


def test_what_was_written_since_is_there_and_the_rest_are_the_very_records(
    store: BlockingStore,
) -> None:
    store.record_cycle(SCOPE, entry(records=(record(), record(CRM))))
    known, version = store.load_records(SCOPE), store.version()
    changed = replace(record(CRM), revision="main@2")
    store.record_cycle(SCOPE, entry(records=(changed,)))
    again = store.reload_records(SCOPE, known, version)
    assert again == {BILLING: record(), CRM: changed}
    assert again[BILLING] is known[BILLING]


def test_what_another_process_wrote_is_read(store: BlockingStore, folder: Path) -> None:
    store.record_cycle(SCOPE, entry(records=(record(),)))
    known, version = store.load_records(SCOPE), store.version()
    with BlockingStore.open(folder) as other:
        other.record_cycle(SCOPE, entry(records=(record(CRM),), removed=(BILLING,)))
    assert store.reload_records(SCOPE, known, version) == {CRM: record(CRM)}


@pytest.mark.parametrize("length", [2, 1000])
@pytest.mark.parametrize("seed", range(20))
def test_reloading_is_loading_whatever_was_written(
    store: BlockingStore, folder: Path, seed: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LENGTH", length)
    dice = random.Random(seed)
    keys = [Key("api", "acme", f"api-{number}") for number in range(6)]
    known, version = store.load_records(SCOPE), store.version()
    with BlockingStore.open(folder) as other:
        for _ in range(30):
            writer = other if dice.random() < 0.1 else store
            scope = dice.choice([SCOPE, SCOPE, OTHER, MOVED])
            chosen = dice.sample(keys, dice.randint(0, 3))
            records = [replace(record(key), revision=str(dice.random())) for key in chosen]
            match dice.randint(0, 9):
                case 0:
                    writer.forget_gateway(
                        scope.owner, scope.gateway, dice.choice([None, scope.base_url])
                    )
                case _:
                    removed = tuple(dice.sample(keys, 1))
                    writer.record_cycle(scope, entry(records=tuple(records), removed=removed))
            if dice.random() < 0.6:
                now = store.version()
                known = store.reload_records(SCOPE, known, version)
                version = now
                assert known == store.load_records(SCOPE)
