"""Bodies that the control listener takes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Suspension(BaseModel):
    """Why a gateway is suspended, for those who find it so."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field("", max_length=500)
