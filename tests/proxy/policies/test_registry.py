"""Policy types are found in their folder, and everything that lists them derives from there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import stoa_proxy
from stoa_proxy import policies
from stoa_proxy.admin.api import extensions
from stoa_proxy.admin.docs_tables import COMMAND, PAGES, fill_page
from stoa_proxy.core.model import PolicyEntry
from stoa_proxy.core.policy import Phase, Policy, PolicyType
from stoa_proxy.policies import POLICIES, find_policy_types
from stoa_proxy.policies.registry import PolicyRegistry

ROOT = Path(__file__).parents[3]
PACKAGE = Path(stoa_proxy.__file__).parent
SHARED_MODULES = {"__init__", "either", "parsing", "plans", "registry", "subjects"}
TYPE_MODULES = {path.stem for path in (PACKAGE / "policies").glob("*.py")} - SHARED_MODULES


def make_type(name: str, phase: Phase = Phase.RESPONSE, *, is_single: bool = False) -> PolicyType:
    class Named(Policy):
        def __init__(self, policy_id: str) -> None:
            self.policy_id = policy_id

    return PolicyType(
        name,
        phase,
        lambda policy_id, config: Named(policy_id),
        "",
        is_single=is_single,
        is_shared=False,
    )


def test_every_module_is_a_policy_type_that_carries_its_name() -> None:
    assert set(POLICIES.names) == TYPE_MODULES


def test_a_module_in_the_folder_is_a_new_type_and_nothing_else_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_policies"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "shared.py").write_text("LIMIT = 1\n")
    (folder / "closed.py").write_text(
        "from stoa_proxy.core.policy import Phase, Policy, PolicyType\n"
        "from stoa_proxy.core.problems import problem\n"
        "class Closed(Policy):\n"
        "    def request_filter(self, context):\n"
        "        return problem(503, 'Closed')\n"
        "def parse(policy_id, config):\n"
        "    return Closed()\n"
        "POLICY = PolicyType('closed', Phase.RESPONSE, parse, '`{}`')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = PolicyRegistry(find_policy_types("some_policies", [str(folder)]))
    for name in ("some_policies", "some_policies.closed", "some_policies.shared"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert registry.names == ("closed",)
    assert extensions(registry)[-1] == "policy:closed"
    api = registry.compile_api("a", (), [PolicyEntry("p", "p", "closed", {}, 1, "a")])
    assert api.request_filters == api.policies
    assert not api.needs_services


def test_only_its_own_package_imports_the_module_of_a_type() -> None:
    importing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "policies"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module in {f"stoa_proxy.policies.{name}" for name in TYPE_MODULES}
    }
    assert importing == set()


def test_two_types_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two policy types are called 'a'"):
        PolicyRegistry([make_type("a"), make_type("a")])


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'magic' is not enforced here; enforced are a, b"):
        PolicyRegistry([make_type("b"), make_type("a")]).parse("magic", "p", {})


def test_policies_run_by_phase_then_priority_then_id_whatever_their_types() -> None:
    registry = PolicyRegistry(
        [
            make_type("late", Phase.RESPONSE),
            make_type("one", Phase.RATE_LIMITING),
            make_type("other", Phase.RATE_LIMITING),
        ]
    )
    entries = [
        PolicyEntry("1", "", "late", {}, 0, "a"),
        PolicyEntry("5", "", "one", {}, 7, "a"),
        PolicyEntry("4", "", "other", {}, 7, "a"),
        PolicyEntry("9", "", "other", {}, 6, "a"),
    ]
    api = registry.compile_api("a", (), entries)
    assert [policy.policy_id for policy in api.policies] == ["9", "4", "5", "1"]  # type: ignore[attr-defined]


def test_of_a_single_type_the_first_counts() -> None:
    registry = PolicyRegistry([make_type("one", is_single=True), make_type("many")])
    entries = [
        PolicyEntry(policy_id, "", policy_type, {}, priority, "a")
        for policy_id, policy_type, priority in (
            ("1", "one", 2),
            ("2", "one", 1),
            ("3", "many", 2),
            ("4", "many", 1),
        )
    ]
    api = registry.compile_api("a", (), entries)
    assert [policy.policy_id for policy in api.policies] == ["2", "4", "3"]  # type: ignore[attr-defined]


def test_a_policy_that_identifies_consumers_replaces_the_api_key_that_plans_imply() -> None:
    registry = PolicyRegistry([make_type("token", Phase.AUTHENTICATION)])
    entry = PolicyEntry("p", "", "token", {}, 1, "a")
    kinds = [type(one).__name__ for one in registry.compile_api("a", (), [entry]).policies]
    assert kinds == ["Named", "PlanGate"]


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_current(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- generated: " in text
    assert fill_page(text) == text, f"run: {COMMAND}"


def test_every_type_says_what_its_config_is() -> None:
    assert [one.name for one in POLICIES.types if not one.config_help] == []
    assert policies.__doc__ is not None
