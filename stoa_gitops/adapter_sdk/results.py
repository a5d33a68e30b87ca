"""From exceptions to `AdapterResult`: the one boundary between raising clients and the contract."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import PurePath
from typing import Any, ParamSpec

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.errors import GatewayError, Retry, StoaGitopsError
from stoa_gitops.model.canonical import Json, JsonObject

P = ParamSpec("P")


def done(
    resource_id: str | None = None,
    data: JsonObject | None = None,
    *,
    warnings: tuple[str, ...] = (),
) -> AdapterResult:
    """Return a success."""
    return AdapterResult(success=True, resource_id=resource_id, data=data, warnings=warnings)


def failed(error: StoaGitopsError) -> AdapterResult:
    """Return what an exception of ours means to the caller of an adapter."""
    data: dict[str, Json] = {"reason": error.reason, "retry": error.retry.value}
    status = getattr(error, "status", None)
    if isinstance(status, int):
        data["status"] = status
    if isinstance(error, GatewayError) and error.retry_after is not None:
        data["retry_after"] = error.retry_after
    return AdapterResult(success=False, data=data, error=str(error))


def unsupported(message: str) -> AdapterResult:
    """Return the refusal of something that this gateway could only do in name."""
    return AdapterResult(
        success=False, data={"reason": "Unsupported", "retry": Retry.NEVER.value}, error=message
    )


def unexpected(error: Exception) -> AdapterResult:
    """Return a failure for a defect of ours."""
    return AdapterResult(
        success=False,
        data={"reason": "InternalError", "retry": Retry.NEVER.value},
        error=defect(error),
    )


def defect(error: Exception) -> str:
    """Say what kind of error happened where, without its text: that may hold a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"internal error ({type(error).__name__}{place}); please report it"


def returns_result(
    method: Callable[P, Coroutine[Any, Any, AdapterResult]],
) -> Callable[P, Coroutine[Any, Any, AdapterResult]]:
    """Turn what a method raises into its result; only cancellation goes through."""

    @wraps(method)
    async def answering(*args: P.args, **kwargs: P.kwargs) -> AdapterResult:
        try:
            return await method(*args, **kwargs)
        except StoaGitopsError as error:
            return failed(error)
        except Exception as error:  # noqa: BLE001  # the contract: adapters answer, they never raise
            return unexpected(error)

    return answering
