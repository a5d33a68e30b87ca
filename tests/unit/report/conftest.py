"""Plans, reports and findings that the tests of rendering share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing import Resource as Schema
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension
from syrupy.location import PyTestLocation
from syrupy.types import SnapshotIndex

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change, Direction, FieldChange, Skip, SkipReason
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report, ReportSet, Status
from stoa_gitops.model.plan import Hold, Plan, PlanSet
from stoa_gitops.model.resources import Resource, SourceRef

SCHEMAS = Path(__file__).parents[3] / "schemas" / "output"
HEAD = "main@3f2a91c"

HOSTILE = (
    "a\x1b]0;owned\x07\x1b[2J\r\nb ``` c\n```\n</details> | d \u202eevil\u202c \x9b31m @octo/team "
    "[x](https://evil.example) <img src=x onerror=alert(1)> %0A::error::e & ]]> \ud800"
)


def change(
    action: Action,
    key: str,
    where: str = "",
    *fields: FieldChange,
    reason: str = "",
    direction: Direction = Direction.UNKNOWN,
    depends_on: tuple[str, ...] = (),
) -> Change:
    resource = None
    parsed = Key.parse(key)
    if where:
        path, _, line = where.rpartition(":")
        resource = Resource(parsed, Spec.of({"key": key}), SourceRef(path, int(line)))
    return Change(
        action,
        parsed,
        resource,
        fields=fields,
        reason=reason,
        direction=direction,
        depends_on=tuple(map(Key.parse, depends_on)),
        secret_hmacs=(("credentials.0.key", "5f4dcc3b5aa765d61d8327deb882cf99"),),
    )


def _kong(*extra: Change) -> Plan:
    """The plan that the design page shows."""
    return Plan(
        "kong-prod",
        "kong",
        HEAD,
        title="kong 3.5 (document writes)",
        changes=(
            change(Action.CREATE, "api/acme/billing", "tenants/acme/apis/billing/api.yaml:1"),
            change(
                Action.UPDATE,
                "policy/acme/billing-rate-limit",
                "tenants/acme/policies/rate-limit.yaml:4",
                FieldChange(("requests",), 1000, 500),
                FieldChange(("window",), "1m", "30s"),
                FieldChange(("upstream", "api_key"), None, None, sensitive=True, note="changed"),
            ),
            *extra,
            change(
                Action.DELETE, "api/acme/legacy-crm", reason="removed from the catalog in 3f2a91c"
            ),
        ),
        skipped=(
            Skip(
                Key("api", "acme", "partner-feed"),
                SkipReason.UNMANAGED,
                "exists but is not managed; "
                "run `stoa-gitops adopt kong-prod api/acme/partner-feed`",
                SourceRef("tenants/acme/apis/partner-feed/api.yaml"),
                is_failure=True,
            ),
        ),
        unchanged=12,
    )


def _gravitee() -> Plan:
    return Plan("gravitee-prod", "gravitee", HEAD, title="gravitee 4.6", unchanged=13)


def _unreachable() -> Plan:
    return Plan(
        "gravitee-prod",
        "gravitee",
        HEAD,
        complete=False,
        error="https://apim.example.test:8083 did not answer within 10 s (3 tries)",
    )


def _every_action() -> Plan:
    api = "tenants/acme/apis"
    route = {
        "path": "/apis/acme/orders/v2",
        "methods": ["GET", "POST"],
        "hosts": [],
        "stripPath": True,
    }
    key = {"$secret": "env:ORDERS_KEY"}
    auth = {"in": "header", "name": "X-Api-Key", "value": key}
    return Plan(
        "stoa-lab",
        "stoa",
        HEAD,
        title="stoa 0.1.0",
        changes=(
            change(
                Action.ADOPT,
                "api/acme/partner-feed",
                f"{api}/partner-feed/api.yaml:1",
                FieldChange(("description",), None, "Partner feed"),
            ),
            change(
                Action.UPDATE,
                "api/acme/orders",
                f"{api}/orders/api.yaml:1",
                FieldChange(("backend", "auth"), None, auth),
                FieldChange(("backend", "timeout"), "30s", "5s"),
                FieldChange(("description",), "Line one\nline two", None),
                FieldChange(("routes", 1), None, route),
                direction=Direction.GIT,
            ),
            change(
                Action.UPDATE,
                "policy/acme/orders.cors",
                f"{api}/orders/api.yaml:22",
                FieldChange(("config", "origins", 0), "https://*", "https://shop.acme.example"),
                direction=Direction.GATEWAY,
            ),
            change(
                Action.UPDATE,
                "application/acme/mobile",
                "tenants/acme/applications/mobile.yaml:1",
                FieldChange(
                    ("credentials", 0, "key"),
                    None,
                    None,
                    sensitive=True,
                    note="not compared",
                ),
                FieldChange(("displayName",), "Mobile", "Mobile App"),
                direction=Direction.BOTH,
                depends_on=("api/acme/orders",),
            ),
            change(
                Action.CREATE,
                "api/globex/crm",
                "tenants/globex/apis/crm/api.yaml:1",
                direction=Direction.GATEWAY,
                reason="vanished from the gateway",
            ),
            change(Action.CREATE, "alias/-/echo", "platform/echo.yaml:1", direction=Direction.GIT),
            change(Action.DELETE, "application/globex/batch", direction=Direction.GIT),
        ),
        skipped=(
            Skip(
                Key("api", "globex", "ledger"),
                SkipReason.UNSUPPORTED,
                "stoa 0.1.0 has no policy type `quota` (api/globex/ledger asks for it)",
                SourceRef("tenants/globex/apis/ledger/api.yaml", 14, 7),
                is_failure=True,
            ),
            Skip(Key("api", "globex", "vault"), SkipReason.PROTECTED, "protected from deletion"),
        ),
        unchanged=2,
        warnings=("2 objects of an orphaned catalog `old` are on this gateway",),
    )


def _held() -> Plan:
    names = ("crm", "feed", "ledger")
    deletes = tuple(
        change(Action.DELETE, f"api/acme/{name}", reason="removed from the catalog in 3f2a91c")
        for name in names
    )
    message = "3 of 12 managed objects would be deleted, and this gateway's budget is 2"
    hold = Hold("PruneBudget", message, tuple(delete.key for delete in deletes))
    create = change(Action.CREATE, "api/acme/billing", "tenants/acme/apis/billing/api.yaml:1")
    return Plan(
        "kong-eu",
        "kong",
        HEAD,
        (create, *deletes),
        unchanged=8,
        holds=(hold,),
        title="kong 3.9.1",
    )


def _long() -> Plan:
    url = "https://billing.internal.example/v2/" + "segment/" * 40
    fields = (
        FieldChange(("backend", "url"), url + "a", url + "b"),
        FieldChange(("config", "origins", 0), url.replace("v2", "v1", 1) + "z", url + "z"),
        FieldChange(("description",), None, "words and " * 300),
        FieldChange(("routes", 0, "headers", "x-" + "very-long-name-" * 6), "short", "long " * 30),
    )
    return Plan(
        "kong-prod",
        "kong",
        HEAD,
        (
            change(
                Action.UPDATE, "api/acme/billing", "tenants/acme/apis/billing/api.yaml:1", *fields
            ),
            change(Action.CREATE, f"api/{'t' * 63}/{'n' * 63}", f"tenants/{'t' * 63}/x/api.yaml:1"),
        ),
        unchanged=1,
    )


def _hostile() -> Plan:
    key = Key("api", "acme", f"x{HOSTILE}")
    fields = (
        FieldChange(("description", HOSTILE), HOSTILE, {HOSTILE: [HOSTILE, None, True, 1.5]}),
        FieldChange(("auth", "value"), None, {"$secret": "hunter2"}),
    )
    resource = Resource(key, Spec.of({}), SourceRef(f"tenants/{HOSTILE}.yaml", 7))
    return Plan(
        f"kong {HOSTILE}",
        "kong",
        HEAD,
        (
            Change(Action.UPDATE, key, resource, fields=fields, reason=HOSTILE),
            Change(Action.DELETE, key, reason=HOSTILE),
        ),
        (Skip(key, SkipReason.UNMANAGED, HOSTILE, is_failure=True, source=resource.source),),
        holds=(Hold("PruneBudget", HOSTILE, (key,)),),
        title=HOSTILE,
        warnings=(HOSTILE,),
    )


def _huge() -> Plan:
    changes = tuple(
        change(
            Action.UPDATE if n % 3 else Action.DELETE,
            f"api/acme/service-{n:04}",
            f"tenants/acme/apis/service-{n:04}/api.yaml:1" if n % 3 else "",
            *([FieldChange(("version",), "1.0.0", "1.1.0")] if n % 3 else []),
        )
        for n in range(900)
    )
    return Plan("kong-prod", "kong", HEAD, changes, unchanged=4)


def plan_cases() -> dict[str, PlanSet]:
    """One plan for each thing that a reader can meet."""
    return {
        "rich": PlanSet(HEAD, (_kong(), _gravitee()), tenants=4),
        "every-action": PlanSet(HEAD, (_every_action(), _gravitee()), tenants=2),
        "clean": PlanSet(HEAD, (_gravitee(), Plan("kong-prod", "kong", HEAD)), tenants=4),
        "incomplete": PlanSet(HEAD, (_kong(), _unreachable()), tenants=4),
        "nothing-observed": PlanSet(HEAD, (_unreachable(),), tenants=4),
        "held": PlanSet(HEAD, (_held(), _gravitee()), tenants=1),
        "base": PlanSet(HEAD, (_kong(), _gravitee()), tenants=4, base="main@77b01d4"),
        "base-clean": PlanSet(HEAD, (_gravitee(),), tenants=4, base="main@77b01d4"),
        "empty-catalog": PlanSet("working tree", ()),
        "only-skips": PlanSet(
            HEAD, (Plan("kong-prod", "kong", HEAD, (), _kong().skipped, 12),), tenants=1
        ),
        "long": PlanSet(HEAD, (_long(),), tenants=2),
        "hostile": PlanSet(HOSTILE, (_hostile(),), tenants=1),
        "huge": PlanSet(HEAD, (_huge(), _kong()), tenants=1),
    }


def report_cases() -> dict[str, ReportSet]:
    """One report for each thing that a reader can meet."""
    plan, held, rich = _every_action(), _held(), _kong()
    orders = Outcome(
        plan.changes[1],
        Status.QUARANTINED,
        "GatewayRefused",
        "schema violation (routes.1.methods: expected a set of strings)",
        attempts=1,
    )
    outcomes = (
        Outcome(plan.changes[0], Status.APPLIED, gateway_id="7b0c"),
        orders,
        Outcome(
            plan.changes[2],
            Status.FAILED,
            "GatewayUnreachable",
            "connection reset by peer",
            attempts=4,
        ),
        Outcome(plan.changes[3], Status.BLOCKED, "Blocked", "needs api/acme/orders"),
        Outcome(
            plan.changes[4], Status.APPLIED, warnings=("stored, but header `X-A` is not enforced",)
        ),
        Outcome(plan.changes[5], Status.UNCHANGED),
        Outcome(plan.changes[6], Status.FAILED),
    )
    applied = tuple(Outcome(item, Status.APPLIED) for item in rich.changes)
    mixed = (
        Report(rich, applied),
        Report(plan, outcomes, warnings=("a probe answered 502",)),
        Report(_unreachable()),
        Report(held, (Outcome(held.changes[0], Status.APPLIED),)),
    )
    vault = Skip(Key("api", "acme", "vault"), SkipReason.PROTECTED, "protected from deletion")
    plain = replace(rich, skipped=(vault,))
    hostile = _hostile()
    bad = Outcome(hostile.changes[0], Status.FAILED, HOSTILE, HOSTILE, 2, HOSTILE, (HOSTILE,))
    return {
        "mixed": ReportSet(HEAD, "9c" * 32, mixed),
        "converged": ReportSet(HEAD, "9c" * 32, (Report(plain, applied), Report(_gravitee()))),
        "forced": ReportSet(
            HEAD,
            "9c" * 32,
            (Report(held, tuple(Outcome(c, Status.APPLIED) for c in held.changes)),),
        ),
        "unreachable": ReportSet(HEAD, "9c" * 32, (Report(_gravitee(), (), error="lease lost"),)),
        "nothing": ReportSet(HEAD, "9c" * 32),
        "hostile": ReportSet(HOSTILE, "9c" * 32, (Report(hostile, (bad,), HOSTILE, (HOSTILE,)),)),
    }


def finding_cases() -> dict[str, tuple[Diagnostic, ...]]:
    """Findings in no order, each of another sort."""
    api = "tenants/acme/apis/billing/api.yaml"
    return {
        "mixed": (
            Diagnostic(
                Severity.WARNING, "meaning.no-identity",
                "`by: consumer` counts by address here, because nobody is identified",
                SourceRef("tenants/acme/policies/rate-limit.yaml", 8, 9), "/spec/config/by",
            ),
            Diagnostic(
                Severity.ERROR, "schema.type", "42 is not a string", SourceRef(api, 6, 13),
                "/spec/backend/url", "write a URL, as https://billing.internal/v2",
                "      url:  42  # the answer", 2,
            ),
            Diagnostic(
                Severity.ERROR, "schema.unknown-key", "`time out` is not a key here",
                SourceRef(api, 9, 5), "/spec/backend/time out", "did you mean `timeout`?",
                "    time out: 30s", 8,
            ),
            Diagnostic(
                Severity.ERROR, "secret.plain", "a secret is written as a value",
                SourceRef("tenants/acme/applications/mobile.yaml", 7, 14),
                "/spec/credentials/0/key",
                "write {env: NAME} and replace the secret", '      - key: "hunter2"', 9,
            ),
        ),
        "clean": (),
        "hostile": (
            Diagnostic(
                Severity.ERROR, "yaml.syntax", HOSTILE,
                SourceRef(f"tenants/{HOSTILE}:,.yaml", 3, 4),
                "/spec/a~1b", HOSTILE, HOSTILE * 5, 3,
            ),
            Diagnostic(
                Severity.ERROR, "schema.type", "kein Text: 日本語",
                SourceRef("tenants/é/b c.yaml", 3, 11),
                "/spec/x", "", "\tname: 日本語 # a tab and wide characters", 3,
            ),
        ),
    }  # fmt: skip


@pytest.fixture
def plans() -> dict[str, PlanSet]:
    return plan_cases()


@pytest.fixture
def reports() -> dict[str, ReportSet]:
    return report_cases()


@pytest.fixture
def findings() -> dict[str, tuple[Diagnostic, ...]]:
    return finding_cases()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `plan_case`, `report_case` and `finding_case` the name of every case in turn."""
    cases = {"plan_case": plan_cases, "report_case": report_cases, "finding_case": finding_cases}
    for name, make in cases.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, sorted(make()))


@pytest.fixture(scope="session")
def validator() -> Callable[[str], Draft202012Validator]:
    """Validator of one output schema by name, or of a place in it: `plan.json#/$defs/line`."""
    trees = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry = Registry().with_resources(
        (name, Schema.from_contents(tree)) for name, tree in trees.items()
    )
    for tree in trees.values():
        Draft202012Validator.check_schema(tree)
    return lambda place: Draft202012Validator({"$ref": place}, registry=registry)


class Form(SingleFileSnapshotExtension):
    """Names a file by the test, the case and the extension: one of each sort."""

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: SnapshotIndex = 0) -> str:
        return super().get_snapshot_name(test_location=test_location)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> Callable[[str, str], None]:
    """Compare a text with the file that is named by the test, the case and this extension."""

    def check(text: str, extension: str) -> None:
        form = type("Form", (Form,), {"file_extension": extension})
        assert text.encode() == snapshot(extension_class=form)

    return check
