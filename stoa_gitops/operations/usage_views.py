"""Usage of the embedded gateway, as pydantic models: what `/v1/usage` answers.

Fields are those of the data plane's `/admin/usage`, in camelCase on the wire.
"""

from __future__ import annotations

from stoa_gitops.operations.views import Timestamp, View


class UsageView(View):
    """What one application used of one API."""

    hour: Timestamp
    """When the hour began, or the first of those that are added up (UTC)."""
    tenant_id: str
    api_id: str
    application_id: str
    """Empty where nobody was identified. With the API it is the subscription."""
    api: str = ""
    """Its name in the catalog, and that of `application`; empty where the catalog has none of this
    id now."""
    application: str = ""
    requests: int
    errors: int
    """Answered 500 or above, by whomever."""
    refused: int
    """Answered 400 to 499."""
    received_bytes: int
    """Of the bodies of requests; `sent_bytes` of those of responses."""
    sent_bytes: int
    seconds: float
    """That requests took which were passed on, added up."""


class UsagePage(View):
    """Usage of some hours."""

    items: list[UsageView]
    is_whole: bool
    """False where there may be more than these rows: ask for fewer hours, or for one tenant."""
