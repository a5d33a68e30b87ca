"""View of what a gateway that registered itself says of itself, as this process heard it."""

from __future__ import annotations

from stoa_gitops.fleet.members import Member
from stoa_gitops.operations.views import RegistrationView


def registration_view(
    member: Member, *, is_shared: bool = False, registrations: int = 0
) -> RegistrationView:
    """Return the view.

    `is_shared` says that several processes send heartbeats under its name, `registrations` how
    often it registered lately.
    """
    registration, figures, beat = member.registration, member.figures, member.last_beat_at
    return RegistrationView(
        id=registration.id,
        name=registration.name,
        hostname=registration.hostname,
        mode=registration.mode.value,
        version=registration.version,
        tenant=registration.tenant_id or None,
        registered_at=member.registered_at.isoformat(),
        started_at=member.last_registered_at.isoformat(),
        since=member.since.isoformat(),
        last_beat_at=beat.isoformat() if beat else None,
        uptime=figures.uptime if figures else None,
        routes=figures.routes if figures else None,
        policies=figures.policies if figures else None,
        requests=figures.requests if figures else None,
        error_rate=member.errors.rate,
        shared=is_shared,
        registrations=registrations,
        admin_url=registration.admin_url,
    )
