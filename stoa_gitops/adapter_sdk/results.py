"""Builders of `AdapterResult`, and the boundary where exceptions become results."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import PurePath
from typing import Any, ParamSpec

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.errors import GatewayError, Retry, StoaGitopsError
from stoa_gitops.model.canonical import Json, JsonObject

P = ParamSpec("P")


def ok(
    resource_id: str | None = None,
    data: JsonObject | None = None,
    *,
    warnings: tuple[str, ...] = (),
) -> AdapterResult:
    """Return a success."""
    return AdapterResult(success=True, resource_id=resource_id, data=data, warnings=warnings)


def failure(error: StoaGitopsError) -> AdapterResult:
    """Return the result for an expected exception, with its reason and retry advice."""
    data: dict[str, Json] = {"reason": error.reason, "retry": error.retry.value}
    status = getattr(error, "status", None)
    if isinstance(status, int):
        data["status"] = status
    if isinstance(error, GatewayError) and error.retry_after is not None:
        data["retry_after"] = error.retry_after
    return AdapterResult(success=False, data=data, error=str(error))


def unsupported(message: str) -> AdapterResult:
    """Return the refusal of something that this gateway would store but not enforce."""
    return AdapterResult(
        success=False, data={"reason": "Unsupported", "retry": Retry.NEVER.value}, error=message
    )


def internal_error(error: Exception) -> AdapterResult:
    """Return the result for an exception that only a bug can raise."""
    return AdapterResult(
        success=False,
        data={"reason": "InternalError", "retry": Retry.NEVER.value},
        error=internal_error_message(error),
    )


def internal_error_message(error: Exception) -> str:
    """Return type and position of an unexpected exception; its text may hold a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    position = ""
    if trace is not None:
        position = f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"internal error ({type(error).__name__}{position}); please report it"


def returns_result(
    method: Callable[P, Coroutine[Any, Any, AdapterResult]],
) -> Callable[P, Coroutine[Any, Any, AdapterResult]]:
    """Turn what a method raises into its result; only cancellation passes through."""

    @wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AdapterResult:
        try:
            return await method(*args, **kwargs)
        except StoaGitopsError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001  # the contract: methods of adapters never raise
            return internal_error(error)

    return wrapper
