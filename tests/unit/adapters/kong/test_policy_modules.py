"""A policy type of Kong is one module: found in its folder, and everything else derived from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import stoa_gitops
from stoa_gitops.adapters.kong import policies
from stoa_gitops.adapters.kong.entities.defaults import PLUGIN_DEFAULTS
from stoa_gitops.adapters.kong.mapping.rules import DECLARED
from stoa_gitops.adapters.kong.policies import MAPPINGS

FOLDER: Final = Path(policies.__file__).parent


def test_each_module_is_the_policy_type_that_it_is_named_after() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert modules == set(MAPPINGS)


@pytest.mark.parametrize("policy_type", sorted(MAPPINGS))
def test_a_capability_names_the_plugins_that_a_type_is_written_as(policy_type: str) -> None:
    mapping, capability = MAPPINGS[policy_type], DECLARED[f"policy:{policy_type}"]
    assert capability.depends == bool(mapping.plugins)
    assert all(plugin in capability.reason for plugin in (*mapping.plugins, *mapping.needs))


@pytest.mark.parametrize("policy_type", sorted(MAPPINGS))
def test_the_defaults_of_every_plugin_that_is_written_are_known(policy_type: str) -> None:
    mapping = MAPPINGS[policy_type]
    assert {*mapping.plugins, *mapping.needs} <= PLUGIN_DEFAULTS.keys()
    assert all(mapping.whole_fields <= PLUGIN_DEFAULTS[name].keys() for name in mapping.plugins)


BOT_DETECTION: Final = '''
"""`bot_detection` as Kong's bot-detection plugin. Pure."""

from stoa_gitops.adapters.kong.mapping.plugin_mapping import single_plugin
from stoa_gitops.model.losses import Loss


def _losses(config):
    if not config["deny"]:
        yield Loss("it denies nobody")


MAPPING = single_plugin(
    "bot_detection",
    "bot-detection",
    write=lambda config, node: {"deny": config["deny"]},
    read=lambda config: {"deny": sorted(config.get("deny") or ())},
    losses=_losses,
)
'''
TRIAL: Final = """
from stoa_gitops.adapters.kong import ADAPTER
from stoa_gitops.adapters.kong.entities.entity import ApiParts, NodeInfo
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, decompile_api, plugins_of
from stoa_gitops.model.keys import API, POLICY, Key

key, node = Key(API, "acme", "billing"), NodeInfo((3, 9, 1), frozenset())
parts = ApiParts(key, key.identifier("default"), None, {"bot_detection": {"deny": ["curl"]}})
entities = compile_api(parts, node, "default")
assert any(entity.tree.get("config") == {"deny": ["curl"]} for entity in entities)
assert decompile_api(entities, node, "default", key) == (parts, {})
assert plugins_of("bot_detection") == {"bot-detection"}
assert ADAPTER.capabilities["policy:bot_detection"].reason == "without the plugin bot-detection"
spec = {"api": "billing", "type": "bot_detection", "config": {"deny": []}}
assert [loss.message for loss in ADAPTER.rules.losses(POLICY, spec)] == ["it denies nobody"]
"""


def test_a_new_policy_type_is_one_new_module(tmp_path: Path) -> None:
    copy = tmp_path / "stoa_gitops"
    shutil.copytree(
        Path(stoa_gitops.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    (copy / "adapters/kong/policies/bot_detection.py").write_text(BOT_DETECTION)
    done = subprocess.run(
        [sys.executable, "-c", TRIAL], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
