"""Reading again only what was written since: the same answer as reading everything."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.store import Scope, Store
from stoa_gitops.store import write_log as log_module
from tests.unit.store.world import BILLING, CRM, SCOPE, entry, record

OTHER = Scope(SCOPE.owner, "kong-dev", SCOPE.base_url)
MOVED = Scope(SCOPE.owner, SCOPE.gateway, "https://elsewhere")


def test_nothing_written_gives_the_very_mapping(store: Store) -> None:
    store.remember(SCOPE, [record()])
    known, version = store.load(SCOPE), store.version()
    store.remember(OTHER, [record(CRM)])
    assert store.reload(SCOPE, known, version) is known


def test_what_was_written_since_is_there_and_the_rest_are_the_very_records(store: Store) -> None:
    store.remember(SCOPE, [record(), record(CRM)])
    known, version = store.load(SCOPE), store.version()
    changed = replace(record(CRM), revision="main@2")
    store.record(SCOPE, entry(records=(changed,)))
    again = store.reload(SCOPE, known, version)
    assert again == {BILLING: record(), CRM: changed}
    assert again[BILLING] is known[BILLING]


def test_what_another_process_wrote_is_read(store: Store, folder: Path) -> None:
    store.remember(SCOPE, [record()])
    known, version = store.load(SCOPE), store.version()
    with Store.open(folder) as other:
        other.remember(SCOPE, [record(CRM)], [BILLING])
    assert store.reload(SCOPE, known, version) == {CRM: record(CRM)}


@pytest.mark.parametrize("length", [2, 1000])
@pytest.mark.parametrize("seed", range(20))
def test_reloading_is_loading_whatever_was_written(
    store: Store, folder: Path, seed: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LENGTH", length)
    dice = random.Random(seed)
    keys = [Key("api", "acme", f"api-{number}") for number in range(6)]
    known, version = store.load(SCOPE), store.version()
    with Store.open(folder) as other:
        for _ in range(30):
            writer = other if dice.random() < 0.1 else store
            scope = dice.choice([SCOPE, SCOPE, OTHER, MOVED])
            chosen = dice.sample(keys, dice.randint(0, 3))
            records = [replace(record(key), revision=str(dice.random())) for key in chosen]
            match dice.randint(0, 9):
                case 0:
                    writer.forget(scope.owner, scope.gateway, dice.choice([None, scope.base_url]))
                case 1 | 2 | 3:
                    writer.record(scope, entry(records=tuple(records), removed=(keys[0],)))
                case _:
                    writer.remember(scope, records, dice.sample(keys, 1))
            if dice.random() < 0.6:
                now = store.version()
                known = store.reload(SCOPE, known, version)
                version = now
                assert known == store.load(SCOPE)
