"""What people see of entries that have a key for the store's sake only."""

from __future__ import annotations

from stoa_gitops.operations.history import audit_event
from stoa_gitops.report.events import audit_lines, event_line
from stoa_gitops.report.style import Style
from stoa_gitops.store import AuditEntry
from tests.unit.store.world import NOW


def entry(key: str) -> AuditEntry:
    return AuditEntry(
        NOW, "gateway key 77", "a-edgemcp-prod", key, "register", "registered", "host a"
    )


def test_the_share_of_a_gateway_key_is_no_object() -> None:
    one = entry("registration/-77/a-edgemcp-prod")
    line = event_line(audit_event(one), Style())
    assert line.endswith("registered  register: host a by gateway key 77")
    tree = {name: getattr(one, name) for name in ("actor", "gateway", "action", "key", "status")}
    (shown,) = audit_lines([{**tree, "at": NOW.isoformat(), "message": one.message}], Style())
    assert "registration/" not in shown


def test_an_object_is_shown() -> None:
    line = event_line(audit_event(entry("api/acme/billing")), Style())
    assert "register api/acme/billing: host a" in line
