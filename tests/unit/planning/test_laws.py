"""Laws of planning that hold for every catalog and every gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.instances import PERCENT_FROM, PruneBudget, WritePolicy
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.model.routing import SEGMENTS
from stoa_gitops.planning import BrokenScope, PlanContext, plan_gateway
from stoa_gitops.planning.differ import differences
from tests.unit.planning.world import GATEWAY, NOW, TARGET, Gateway

# Where no route takes requests of another, one cycle reaches everything.
APART = replace(TARGET, router=replace(SEGMENTS, wins=lambda *_: False))

NAMES = ("a", "b", "c", "d")
TENANTS = ("acme", "globex")
SECRET = "hunter2-very-secret"

names = st.sampled_from(NAMES)
tenants = st.sampled_from(TENANTS)
apis = st.builds(Key, st.just("api"), tenants, names)
policies = st.builds(
    lambda tenant, name, kind: Key("policy", tenant, f"{name}.{kind}"),
    tenants,
    names,
    st.sampled_from(("cors", "jwt")),
)
applications = st.builds(Key, st.just("application"), tenants, names)
aliases = st.builds(Key, st.just("alias"), st.just(""), names)
keys = st.one_of(apis, policies, applications, aliases)

values = st.fixed_dictionaries(
    {"displayName": st.sampled_from("xyz")},
    optional={
        "description": st.sampled_from("pq"),
        "routes": st.lists(
            st.fixed_dictionaries({"path": st.sampled_from(("/a", "/b"))}), max_size=2
        ),
        "backend": st.fixed_dictionaries(
            {"retries": st.integers(0, 2)},
            optional={
                "auth": st.fixed_dictionaries(
                    {"in": st.just("header"), "value": st.sampled_from(("env:A", "env:B", "env:C"))}
                ).map(lambda auth: {**auth, "value": {"$secret": auth["value"]}})
            },
        ),
        "subscriptions": st.lists(
            st.fixed_dictionaries(
                {"api": names}, optional={"expiresAt": st.just("2020-01-01T00:00:00Z")}
            ),
            max_size=2,
        ),
    },
)
plan_hints = st.builds(
    PlanHints,
    requires=st.sampled_from(((), ("ability",))),
    on_unsupported=st.sampled_from(("fail", "warn", "skip")),
    depends_on=st.lists(keys, max_size=2).map(tuple),
    protected=st.booleans(),
    moved_from=st.none() | keys,
    ignore_fields=st.sampled_from(((), ("displayName",), ("backend.retries", "routes.0"))),
)
secrets = st.fixed_dictionaries(
    {"env:A": st.sampled_from((None, "1", "2")), "env:B": st.sampled_from((None, "3", "4"))}
)
situations = st.builds(
    PlanContext,
    now=st.just(NOW),
    secrets=secrets,
    broken=st.builds(BrokenScope, st.frozensets(tenants), st.booleans()),
    quarantined=st.dictionaries(keys, st.just("no"), max_size=2),
    tenant=st.none() | tenants,
)
targets = st.builds(
    replace,
    st.just(TARGET),
    policy=st.sampled_from(WritePolicy),
    prune=st.builds(PruneBudget, st.none() | st.integers(0, 3), st.none() | st.integers(0, 60)),
    capabilities=st.sampled_from((None, {}, {"ability": None}, {"ability": "too old"})),
)


def _api_of(key: Key) -> Key | None:
    return Key("api", key.tenant, key.name.split(".")[0]) if key.kind == "policy" else None


@st.composite
def catalogs(draw: st.DrawFn, hints: st.SearchStrategy[PlanHints] = plan_hints) -> DesiredState:
    found = {}
    for key in draw(st.lists(keys, max_size=8, unique=True)):
        how = replace(draw(hints), guarded_api=_api_of(key))
        found[key] = Resource(key, Spec.of(draw(values)), SourceRef("a.yaml"), how)
    return DesiredState(GATEWAY, "default", "main@1", found)


simple = catalogs(st.just(PlanHints()))


def shown(spec: JsonObject) -> JsonObject:
    """What a gateway shows of a spec: masks where secrets are, and a field of its own."""

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return "***" if "$secret" in value else {k: hide(v) for k, v in value.items()}
        return [hide(v) for v in value] if isinstance(value, list) else value

    return {**hide(spec), "server": "default"}


@st.composite
def gateways(draw: st.DrawFn) -> Gateway:
    """A gateway with a history: some cycles, hands on it, foreign objects."""
    gateway = Gateway(hold=shown)
    for key in draw(st.lists(keys, max_size=3, unique=True)):
        gateway.foreign[key] = Spec.of(draw(values))
    gateway.cycle(draw(simple), draw(situations), force=True)
    for key in (
        draw(st.lists(st.sampled_from(sorted(gateway.objects)), max_size=2))
        if gateway.objects
        else ()
    ):
        if draw(st.booleans()):
            gateway.objects.pop(key, None)
        else:
            gateway.objects[key] = Spec.of(draw(values))
    for key in (
        draw(st.lists(st.sampled_from(sorted(gateway.records)), max_size=2))
        if gateway.records
        else ()
    ):
        gateway.records.pop(key, None)
    return gateway


def make(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any = TARGET
) -> Plan:
    return plan_gateway(target, wanted, gateway.observe(), gateway.records, context)


def digest(made: Plan) -> str:
    return PlanSet("r", (made,)).digest


@given(gateways(), simple, secrets)
def test_planning_what_was_just_applied_is_empty(
    gateway: Gateway, wanted: DesiredState, known: dict[str, str | None]
) -> None:
    context = PlanContext(NOW, secrets=known)
    gateway.cycle(wanted, context, gateway=APART, force=True)
    again = make(gateway, wanted, context, APART)
    assert again.changes == ()


@given(gateways(), catalogs(), situations, targets)
def test_the_second_of_two_cycles_changes_nothing(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    target = replace(target, router=APART.router)
    gateway.cycle(wanted, context, gateway=target, force=True)
    middle = gateway.cycle(wanted, context, gateway=target, force=True)
    # what had to wait for the first cycle may follow in the second; then all is quiet
    if middle.changes:
        assert {c.action for c in middle.changes} <= {Action.DELETE, Action.CREATE, Action.UPDATE}
        gateway.cycle(wanted, context, gateway=target, force=True)
    assert make(gateway, wanted, context, target).changes == ()


@given(gateways(), simple)
def test_applying_a_plan_reaches_what_is_desired(gateway: Gateway, wanted: DesiredState) -> None:
    foreign = dict(gateway.foreign)
    gateway.cycle(wanted, PlanContext(NOW), gateway=APART, force=True)
    reachable = wanted.resources.keys() - foreign.keys()
    held = {key for key in reachable if _api_of(key) in foreign.keys() & wanted.resources.keys()}
    assert gateway.objects.keys() >= reachable - held
    assert gateway.objects.keys() <= wanted.resources.keys() | held | set(
        _policies_beside(gateway, wanted)
    )
    for key in reachable - held:
        spec = wanted.resources[key].spec.value
        if "subscriptions" not in spec:
            assert not differences(gateway.objects[key].value, spec)
    assert gateway.foreign == foreign


def _policies_beside(gateway: Gateway, wanted: DesiredState) -> list[Key]:
    """Policies that stay because their API is set aside."""
    aside = gateway.foreign.keys() & wanted.resources.keys()
    return [
        key
        for key in gateway.objects
        if _api_of(key) in aside or any(_api_of(one) == _api_of(key) for one in aside)
    ]


@given(gateways(), catalogs(), situations, targets, st.randoms(use_true_random=False))
def test_the_order_of_the_inputs_never_matters(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any, random: Any
) -> None:
    def turned(mapping: Any) -> dict[Any, Any]:
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    seen = gateway.observe()
    first = plan_gateway(target, wanted, seen, gateway.records, context)
    objects = list(seen.objects)
    random.shuffle(objects)
    second = plan_gateway(
        target,
        replace(wanted, resources=turned(wanted.resources)),
        replace(seen, objects=tuple(objects)),
        turned(gateway.records),
        replace(
            context,
            secrets=turned(context.secrets),
            quarantined=turned(context.quarantined),
        ),
    )
    assert second == first
    assert digest(second) == digest(first)


@given(gateways(), catalogs(), situations, targets)
def test_a_failed_read_never_yields_a_change(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    seen = gateway.observe()
    for objects in (seen.objects, seen.objects[:1], ()):
        failed = ActualState(GATEWAY, NOW, objects, error="timed out")
        made = plan_gateway(target, wanted, failed, gateway.records, context)
        assert not made.complete
        assert made.changes == ()


@given(gateways(), catalogs(), situations, targets)
def test_foreign_objects_never_appear_in_changes(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    made = make(gateway, wanted, context, target)
    foreign = gateway.foreign.keys() - gateway.objects.keys()
    assert not foreign & {change.key for change in made.changes}
    assert all(c.observed is None or c.observed.managed for c in made.changes)


@given(gateways(), catalogs(), situations, targets)
def test_no_key_is_changed_twice_or_both_changed_and_skipped(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    made = make(gateway, wanted, context, target)
    changed = [change.key for change in made.changes]
    skipped = [skip.key for skip in made.skipped]
    assert len(changed) == len(set(changed))
    assert len(skipped) == len(set(skipped))
    assert not set(changed) & set(skipped)


@given(gateways(), catalogs(), situations, targets)
def test_everything_that_a_change_waits_for_is_in_the_plan_and_before_it_unless_in_a_circle(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    made = make(gateway, wanted, context, target)
    place = {change.key: index for index, change in enumerate(made.changes)}
    needs = {change.key: set(change.depends_on) for change in made.changes}
    assert all(need in place for change in made.changes for need in change.depends_on)
    assume(not _has_circle(needs))
    assert all(place[need] < place[key] for key in needs for need in needs[key])


def _has_circle(needs: dict[Key, set[Key]]) -> bool:
    left = {key: set(found) for key, found in needs.items()}
    while free := [key for key, found in left.items() if not found & left.keys()]:
        for key in free:
            del left[key]
    return bool(left)


@given(gateways(), catalogs(), situations, targets)
def test_deletions_never_exceed_the_budget_unforced(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    made = make(gateway, wanted, context, target)
    population = len(gateway.objects)
    moved = {r.hints.moved_from for r in wanted.resources.values()}
    moved |= {key for key in gateway.objects if _api_of(key) in moved}
    free = [
        c
        for c in made.changes
        if c.action is Action.DELETE and c.key not in made.held_keys and c.key not in moved
    ]
    if target.prune.max_count is not None:
        assert len(free) <= target.prune.max_count
    if target.prune.max_percent is not None and population >= PERCENT_FROM:
        assert len(free) * 100 <= target.prune.max_percent * population


@given(gateways(), catalogs(), situations, targets)
def test_nothing_withheld_protected_or_out_of_scope_is_deleted(
    gateway: Gateway, wanted: DesiredState, context: PlanContext, target: Any
) -> None:
    for change in make(gateway, wanted, context, target).changes:
        assert context.is_in_scope(change.key)
        if change.action is Action.DELETE:
            assert target.policy is WritePolicy.FULL
            assert not context.broken.covers(change.key)
            assert change.key not in wanted.resources


@given(st.lists(apis, max_size=4, unique=True), simple, st.data())
def test_a_secret_that_a_gateway_shows_never_appears_in_a_plan(
    there: list[Key], wanted: DesiredState, data: st.DataObject
) -> None:
    leaking = {
        "displayName": "x",
        "backend": {"retries": 0, "auth": {"in": "header", "value": SECRET}},
        "credentials": [{"type": "api_key", "key": SECRET}],
    }
    objects = tuple(Observed(key, Spec.of(leaking), "1") for key in there)
    records = {
        key: AppliedRecord(key, Spec.of(data.draw(values)), "1", "r", {"backend.auth.value": "h"})
        for key in there
    }
    seen = ActualState(GATEWAY, NOW, objects)
    made = plan_gateway(TARGET, wanted, seen, records, PlanContext(NOW, secrets={"env:A": "h"}))
    told = [(c.action, c.key, c.resource, c.fields, c.reason, c.secret_hmacs) for c in made.changes]
    assert SECRET not in repr((told, made.skipped, made.holds, made.warnings))
