"""Turns a gateway's document into a connection: resolves credentials and the embedded address."""

from __future__ import annotations

from dataclasses import replace

from stoa_gitops.adapter_sdk.info import Connection, InProcessAdmin
from stoa_gitops.errors import GatewayUnreachable
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from stoa_gitops.model.secret import Secret
from stoa_gitops.model.secret_rights import OPERATOR
from stoa_gitops.secrets import SecretForm, SecretResolver, form_of_role
from stoa_gitops.state_folder.runtime_file import Runtime


def connect(
    instance: GatewayInstance,
    owner: str,
    secrets: SecretResolver,
    running: Runtime | None,
    inside: InProcessAdmin | None = None,
) -> Connection:
    """Return how to reach a gateway; `inside` is its admin API where this process has it.

    Raises SecretUnresolved for a credential that leads nowhere, and GatewayUnreachable for one that
    only the running process has: the embedded gateway, or one that fetches its configuration.
    """
    if instance.is_embedded:
        return _embedded(instance, owner, running, inside)
    if instance.is_unbound or (instance.is_pulling and inside is None):
        raise GatewayUnreachable(
            f"{instance.name} is about gateways that register themselves: only the running process "
            "knows them (`stoa-gitops run`, `gateways list`)"
        )
    if inside is not None:
        return Connection(instance, instance.base_url, owner, inside=inside)
    credentials = {
        role: secrets.resolve(ref, OPERATOR, form_of_role(role))
        for role, ref in instance.auth.refs.items()
    }
    return Connection(instance, instance.base_url, owner, credentials, _tls(instance, secrets))


def _embedded(
    instance: GatewayInstance, owner: str, running: Runtime | None, inside: InProcessAdmin | None
) -> Connection:
    if running is None or not running.gateway:
        raise GatewayUnreachable(
            "the embedded gateway is not running here: start `stoa-gitops run` with the same "
            "--state"
        )
    # The process makes a token at each start, so no document can refer to one.
    bearer = replace(instance, auth=GatewayAuth("bearer"))
    token = {"token": Secret(running.admin_token)}
    return Connection(bearer, running.gateway, owner, token, inside=inside)


def _tls(instance: GatewayInstance, secrets: SecretResolver) -> dict[str, Secret]:
    if instance.tls is None:
        return {}
    refs = {"ca": instance.tls.ca, "cert": instance.tls.cert, "key": instance.tls.key}
    return {
        role: secrets.resolve(ref, OPERATOR, SecretForm.TEXT)
        for role, ref in refs.items()
        if ref is not None
    }
