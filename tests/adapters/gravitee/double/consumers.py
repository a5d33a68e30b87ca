"""Applications, subscriptions and keys: the Automation API, v2 and v1, with their traps."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.adapters.gravitee.double import forms
from tests.adapters.gravitee.double.apis import Apis, body_of, paged
from tests.adapters.gravitee.double.checks import Refused, beans, invalid
from tests.adapters.gravitee.double.store import (
    Api,
    ApiKey,
    Application,
    Plan,
    Store,
    Subscription,
    Tree,
    name_uuid,
)
from tests.adapters.gravitee.double.texts import sanitized

_OPEN = ("ACCEPTED", "PENDING", "PAUSED")


def _kept(body: Tree) -> Tree:
    """Return an application as it is stored."""
    texts = {n: sanitized(body[n]) for n in ("name", "description") if body.get(n)}
    return {**body, **texts}


class Consumers:
    """Handlers of one double."""

    def __init__(self, store: Store, apis: Apis, version: tuple[int, int]) -> None:
        self._store, self._apis, self._version = store, apis, version
        self._has_keys = version >= (4, 12)

    # applications of the Automation API

    async def put_application(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        missing = [(n, "must not be null") for n in ("name", "description") if body.get(n) is None]
        if missing:
            raise beans(missing)
        settings = body.get("settings")
        if settings and len({"app", "oauth"} & settings.keys()) != 1:
            raise Refused(
                400,
                "Application is defined with a missing type or multiple types (app / oauth)",
                "application.invalid",
            )
        hrid = body["hrid"]
        cross = name_uuid(request.match_info["org"] + hrid)
        app_id = name_uuid(cross + request.match_info["env"])
        warnings = self._client_id_free(settings, app_id)
        if request.query.get("dryRun") == "true":
            return web.json_response(self._application_form(body, hrid, app_id, request))
        held = self._store.applications.get(app_id)
        if held is not None and held.status == "ARCHIVED":
            self._restore(held)
        now = self._store.millis()
        app = held or Application(app_id, {}, created=now)
        app.spec, app.hrid, app.origin, app.updated = _kept(body), hrid, "KUBERNETES", now
        self._store.applications[app_id] = app
        answer = self._application_form(body, hrid, app_id, request)
        return web.json_response({**answer, "errors": {"severe": [], "warning": warnings}})

    def _client_id_free(self, settings: Any, app_id: str) -> list[str]:
        client = ((settings or {}).get("app") or {}).get("clientId")
        for other in self._store.applications.values():
            app = (other.spec.get("settings") or {}).get("app") or {}
            is_active = other.status == "ACTIVE" and other.id != app_id
            if client and is_active and client in (app.get("clientId"), app.get("client_id")):
                raise invalid(
                    f"client id [{client}] is already defined for application "
                    f"[{other.spec['name']}] with id [{other.id}] on environment [DEFAULT]"
                )
        return []

    def _restore(self, app: Application) -> None:
        """A restored application leaves its closed subscriptions pending (R.1 row 8)."""
        app.status = "ACTIVE"
        for one in self._store.subscriptions.values():
            if one.application_id == app.id and one.status == "CLOSED":
                one.status = "PENDING"

    def _application_form(
        self, spec: Tree, hrid: str | None, app_id: str, request: web.Request
    ) -> Tree:
        held = self._store.applications.get(app_id)
        settings = spec.get("settings") or {"app": {}}
        return {
            "hrid": hrid,
            "name": spec["name"],
            "description": spec["description"],
            "groups": [],
            "notifyMembers": bool(spec.get("notifyMembers")),
            "settings": settings,
            "metadata": list(spec.get("metadata") or ()),
            "members": [],
            "status": held.status if held else "ACTIVE",
            "id": app_id,
            "environmentId": request.match_info["env"],
            "organizationId": request.match_info["org"],
        }

    async def get_application(self, request: web.Request) -> web.Response:
        app = self._named_application(request)
        return web.json_response(self._application_form(app.spec, app.hrid, app.id, request))

    async def delete_application(self, request: web.Request) -> web.Response:
        self._archive(self._named_application(request))
        return web.Response(status=204)

    def _archive(self, app: Application) -> None:
        app.status = "ARCHIVED"
        for one in self._store.subscriptions.values():
            if one.application_id != app.id:
                continue
            if one.status == "PENDING":
                one.status = "REJECTED"
            elif one.status in _OPEN:
                one.status = "CLOSED"
            for key in one.keys:
                key.revoked_at = key.revoked_at or self._store.now()

    def _named_application(self, request: web.Request) -> Application:
        hrid = request.match_info["hrid"]
        app_id = name_uuid(name_uuid(request.match_info["org"] + hrid) + request.match_info["env"])
        app = self._store.applications.get(app_id)
        if app is None:
            raise Refused(404, f"HRID [{hrid}] cannot be found.", "hrid.notFound")
        return app

    # applications of v1

    def _v1_view(self, app: Application) -> Tree:
        settings = app.spec.get("settings") or {"app": {}}
        simple = dict(settings.get("app") or {})
        if "clientId" in simple:
            simple["client_id"] = simple.pop("clientId")
        found: Tree = {
            "id": app.id,
            "name": app.spec["name"],
            "description": app.spec["description"],
            "environmentId": "DEFAULT",
            "groups": [],
            "status": app.status,
            "type": "SIMPLE",
            "origin": app.origin,
            "created_at": app.created,
            "updated_at": app.updated,
            "disable_membership_notifications": app.origin == "KUBERNETES",
            "api_key_mode": "UNSPECIFIED",
            "owner": {"id": "id-of-admin", "displayName": "admin", "type": "USER"},
            "settings": {"app": simple},
        }
        return {**found, "hrid": app.hrid} if app.hrid else found

    async def list_v1(self, request: web.Request) -> web.Response:
        wanted = request.query.get("status", "ACTIVE")
        held = [app for app in self._store.applications.values() if app.status == wanted]
        views = [self._v1_view(app) for app in sorted(held, key=lambda one: one.spec["name"])]
        return _paged_v1(views, request)

    async def list_subscribed(self, request: web.Request) -> web.Response:
        app, wanted = self._application(request), request.query.get("status", "").split(",")
        found = [
            {"id": one.id, "api": one.api_id, "plan": one.plan_id, "status": one.status}
            for one in self._store.subscriptions.values()
            if one.application_id == app.id and one.status in wanted
        ]
        return _paged_v1(found, request)

    def _application(self, request: web.Request) -> Application:
        app_id = request.match_info["app"]
        app = self._store.applications.get(app_id)
        if app is None:
            message = f"Application [{app_id}] cannot be found."
            raise Refused(404, message, "application.notFound", v1=True)
        return app

    async def get_v1(self, request: web.Request) -> web.Response:
        return web.json_response(self._v1_view(self._application(request)))

    async def create_v1(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        now = self._store.millis()
        app = Application(self._store.new_id(), _kept(body), created=now, updated=now)
        self._store.applications[app.id] = app
        return web.json_response(self._v1_view(app), status=201)

    async def update_v1(self, request: web.Request) -> web.Response:
        app, body = self._application(request), await body_of(request)
        if app.status == "ARCHIVED":
            message = f"Application [{app.spec['name']}] is archived."
            raise Refused(400, message, "application.archived", v1=True)
        app.spec = {**app.spec, **_kept(body)}
        app.updated = self._store.millis()
        return web.json_response(self._v1_view(app))

    async def restore_v1(self, request: web.Request) -> web.Response:
        app = self._application(request)
        if app.status == "ACTIVE":
            message = f"Application [{app.spec['name']}] is active and cannot be restored."
            raise Refused(400, message, "application.active", v1=True)
        self._restore(app)
        return web.json_response(self._v1_view(app))

    async def delete_v1(self, request: web.Request) -> web.Response:
        self._archive(self._application(request))
        return web.Response(status=204)

    # subscriptions of the Automation API

    async def put_subscription(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        org, env = request.match_info["org"], request.match_info["env"]
        api_hrid = request.match_info["hrid"]
        cross = name_uuid(org + api_hrid)
        api = self._store.apis.get(name_uuid(cross + env))
        plan_id = name_uuid(cross + env + body["planHrid"])
        plan = next((p for p in api.plans if p.id == plan_id), None) if api else None
        if api is None or plan is None:
            raise Refused(404, f"Plan [{plan_id}] cannot be found.", "plan.notFound")
        app_id = name_uuid(name_uuid(org + body["applicationHrid"]) + env)
        app = self._store.applications.get(app_id)
        if app is None:
            message = f"Application [{app_id}] cannot be found."
            raise Refused(404, message, "application.notFound")
        sub_id = name_uuid(cross + env + body["hrid"])
        self._check_keys(body, plan)
        held = self._store.subscriptions.get(sub_id)
        if held is None:
            held = self._subscribe(sub_id, api, plan, app, body)
        else:
            self._update(held, plan, body)
        held.metadata = body.get("metadata") or {} if self._has_keys else {}
        if self._has_keys and body.get("apiKeys"):
            self._reconcile(held, body["apiKeys"])
        held.ending = body.get("endingAt") or ""
        if held.ending:
            for key in held.keys:
                key.expire_at = held.ending
        answer = self._subscription_form(held, body, api_hrid, request)
        if self._has_keys:
            # Keys are echoed in clear (R.1 row 11).
            answer["apiKeys"] = body.get("apiKeys") or []
            answer["errors"] = {"severe": [], "warning": []}
        return web.json_response(answer)

    def _check_keys(self, body: Tree, plan: Plan) -> None:
        keys = body.get("apiKeys") or ()
        if not self._has_keys or not keys:
            return
        if plan.security != "API_KEY":
            raise invalid(f"apiKeys is only allowed for API_KEY plans (plan: {plan.id})")
        seen = set()
        for one in keys:
            if not 32 <= len(one["key"]) <= 256:
                length = len(one["key"])
                raise invalid(f"key length must be between 32 and 256 characters, got {length}")
            if one["key"] in seen:
                raise invalid(f"duplicate key [{one['key']}] in apiKeys")
            seen.add(one["key"])

    def _subscribe(
        self, sub_id: str, api: Api, plan: Plan, app: Application, body: Tree
    ) -> Subscription:
        self._check_subscribable(api, plan, app, body["hrid"])
        one = self._new(sub_id, api, plan, app, "KUBERNETES")
        one.hrid = body["hrid"]
        if self._has_keys:
            keys = body.get("apiKeys") or ()
            if any(self._store.is_key_taken(key["key"], api.id, app.id, sub_id) for key in keys):
                # A row is left behind (R.3).
                one.status = "PENDING"
                raise Refused(400, "API Key already exists", "apiKey.existing")
            count = 0 if keys else 1
        else:
            # Two keys for each new one (R.1 row 10), and those of an erased one come back (row 9).
            count = 2
            one.keys += self._store.erased_keys.pop(sub_id, [])
        if plan.security == "API_KEY":
            one.keys += [self._store.new_key() for _ in range(count)]
        return one

    def _new(
        self, sub_id: str, api: Api, plan: Plan, app: Application, origin: str
    ) -> Subscription:
        now = self._store.now()
        one = Subscription(sub_id, api.id, plan.id, app.id, "ACCEPTED", origin, now, now, now)
        self._store.subscriptions[sub_id] = one
        return one

    def _check_subscribable(self, api: Api, plan: Plan, app: Application, hrid: str | None) -> None:
        if plan.security == "KEY_LESS":
            message = "A keyless plan is not subscribable!"
            raise Refused(400, message, "plan.notSubscribable")
        if plan.spec["status"] != "PUBLISHED":
            raise Refused(400, f"Plan {plan.id} is not yet published !", "plan.notPublished")
        if app.status == "ARCHIVED":
            message = f"Application [{app.spec['name']}] is archived."
            raise Refused(400, message, "application.archived")
        settings = (app.spec.get("settings") or {}).get("app") or {}
        if plan.security in ("JWT", "OAUTH2") and not (
            settings.get("clientId") or settings.get("client_id")
        ):
            message = "A client_id is required to subscribe to an OAuth2 or JWT plan."
            raise Refused(400, message, "plan.notSubscribable")
        for other in self._store.subscriptions_of(api.id):
            same = other.plan_id == plan.id and other.application_id == app.id
            if same and other.status in _OPEN and (hrid is None or other.hrid != hrid):
                message = "There is already a PENDING or ACCEPTED subscription for this plan."
                raise Refused(400, message, "plan.subscribed")

    def _update(self, held: Subscription, plan: Plan, body: Tree) -> None:
        del body
        if held.plan_id != plan.id and self._has_keys:
            raise invalid(f"Subscription [{held.id}] plan cannot be changed")
        is_over = held.status == "REJECTED" or (held.status == "CLOSED" and not self._has_keys)
        if is_over:
            message = f"Subscription [{held.id}] cannot be updated because of its status."
            raise Refused(400, message, "subscription.notUpdatable")
        if held.status == "CLOSED":
            held.status = "ACCEPTED"
            held.keys.append(self._store.new_key())
        held.updated = self._store.now()

    def _reconcile(self, held: Subscription, wanted: list[Tree]) -> None:
        if held.status == "PENDING":
            return
        names = [one["key"] for one in wanted]
        if any(
            self._store.is_key_taken(key, held.api_id, held.application_id, held.id)
            for key in names
        ):
            raise Refused(400, "API Key already exists", "apiKey.existing")
        there = {key.key: key for key in held.keys}
        for one in wanted:
            key = there.get(one["key"])
            if key is None:
                key = self._store.new_key(one["key"])
                held.keys.append(key)
            key.revoked_at = ""
            key.expire_at = one.get("expireAt") or key.expire_at
        for value, key in there.items():
            if value not in names:
                key.revoked_at = key.revoked_at or self._store.now()

    def _subscription_form(
        self, one: Subscription, body: Tree, api_hrid: str, request: web.Request
    ) -> Tree:
        found = {
            "hrid": body["hrid"],
            "applicationHrid": body["applicationHrid"],
            "planHrid": body["planHrid"],
            "id": one.id,
            "apiHrid": api_hrid,
            "startingAt": one.started,
            "environmentId": request.match_info["env"],
            "organizationId": request.match_info["org"],
        }
        if one.ending:
            found["endingAt"] = one.ending
        if self._has_keys:
            found["metadata"] = one.metadata
        return found

    async def delete_subscription(self, request: web.Request) -> web.Response:
        org, env = request.match_info["org"], request.match_info["env"]
        sub_hrid = request.match_info["sub"]
        sub_id = name_uuid(name_uuid(org + request.match_info["hrid"]) + env + sub_hrid)
        one = self._store.subscriptions.get(sub_id)
        if one is None:
            raise Refused(404, f"HRID [{sub_hrid}] cannot be found.", "hrid.notFound")
        if self._has_keys:
            self._end(one)
        else:
            # 4.10.8 erases the row, and its keys go on working (R.1 row 9).
            self._store.erased_keys[sub_id] = one.keys
            del self._store.subscriptions[sub_id]
        return web.Response(status=204)

    def _end(self, one: Subscription) -> None:
        one.status = "REJECTED" if one.status in ("PENDING", "REJECTED") else "CLOSED"
        for key in one.keys:
            key.revoked_at = key.revoked_at or self._store.now()

    # subscriptions of v2

    def _view(self, one: Subscription) -> Tree:
        found: Tree = {
            "id": one.id,
            "api": {"id": one.api_id},
            "plan": {"id": one.plan_id},
            "application": {"id": one.application_id},
            "metadata": one.metadata,
            "status": one.status,
            "consumerStatus": "STARTED",
            "processedBy": {"id": "id-of-admin"},
            "subscribedBy": {"id": "id-of-admin"},
            "processedAt": one.started,
            "startingAt": one.started,
            "createdAt": one.created,
            "updatedAt": one.updated,
            "origin": one.origin,
        }
        if one.ending:
            found["endingAt"] = one.ending
        return {**found, "publisherMessage": one.message} if one.message else found

    def _held(self, request: web.Request) -> Subscription:
        api, sub_id = self._apis.find(request), request.match_info["sub"]
        one = self._store.subscriptions.get(sub_id)
        if one is None or one.api_id != api.id:
            message = f"Subscription [{sub_id}] cannot be found."
            raise Refused(404, message, "subscription.notFound")
        return one

    async def list_v2(self, request: web.Request) -> web.Response:
        api = self._apis.find(request)
        wanted = request.query.get("statuses", "ACCEPTED").split(",")
        held = [one for one in self._store.subscriptions_of(api.id) if one.status in wanted]
        return paged([self._view(one) for one in held], request)

    async def get_v2(self, request: web.Request) -> web.Response:
        return web.json_response(self._view(self._held(request)))

    async def create_v2(self, request: web.Request) -> web.Response:
        api, body = self._apis.find(request), await body_of(request)
        app = self._store.applications.get(body["applicationId"])
        plan = next((p for p in api.plans if p.id == body["planId"]), None)
        if app is None or plan is None:
            raise Refused(404, "Plan or application cannot be found.", "plan.notFound")
        self._check_subscribable(api, plan, app, None)
        custom = body.get("customApiKey")
        if custom and not self._store.allows_custom_keys:
            message = "You are not allowed to provide a custom API Key"
            raise Refused(400, message, "subscription.invalid")
        if custom and self._store.is_key_taken(custom, api.id, app.id, ""):
            raise Refused(400, "API Key already exists", "apiKey.existing")
        one = self._new(self._store.new_id(), api, plan, app, "MANAGEMENT")
        one.metadata = body.get("metadata") or {}
        if plan.security == "API_KEY":
            one.keys.append(self._store.new_key(custom or ""))
        return web.json_response(self._view(one), status=201)

    async def update_v2(self, request: web.Request) -> web.Response:
        one, body = self._held(request), await body_of(request)
        one.ending = (body or {}).get("endingAt") or ""
        one.updated = self._store.now()
        return web.json_response(self._view(one))

    async def move_v2(self, request: web.Request) -> web.Response:
        one, verb, body = self._held(request), request.match_info["verb"], await body_of(request)
        moves = {
            "_accept": ("PENDING", "ACCEPTED"),
            "_reject": ("PENDING", "REJECTED"),
            "_pause": ("ACCEPTED", "PAUSED"),
            "_resume": ("PAUSED", "ACCEPTED"),
        }
        if verb == "_close":
            if one.status not in ("ACCEPTED", "PAUSED"):
                message = (
                    f"Subscription [{one.id}] cannot be closed because of its status: {one.status}"
                )
                raise Refused(400, message, "subscription.notClosable")
            self._end(one)
        else:
            before, after = moves[verb]
            if one.status != before:
                word = {"_pause": "paused", "_resume": "resumed"}.get(verb, "processed")
                message = (
                    f"Subscription [{one.id}] cannot be {word} because of its status: {one.status}"
                )
                code = (
                    "subscription.notPausable"
                    if verb == "_pause"
                    else "subscription.notProcessable"
                )
                raise Refused(400, message, code)
            if verb == "_accept" and (body or {}).get("customApiKey"):
                raise Refused(400, "API Key already exists", "apiKey.existing")
            one.status = after
            if verb == "_accept":
                one.message = (body or {}).get("reason") or ""
                one.keys.append(self._store.new_key())
        one.updated = self._store.now()
        return web.json_response(self._view(one))

    async def transfer(self, request: web.Request) -> web.Response:
        api, one, body = self._apis.find(request), self._held(request), await body_of(request)
        plans = {plan.id: plan for plan in api.plans}
        before, after = plans.get(one.plan_id), plans.get(body["planId"])
        if before is None or after is None:
            raise Refused(404, "Plan cannot be found.", "plan.notFound")
        if after.spec["status"] != "PUBLISHED" or after.security != before.security:
            message = f"Transfer to the plan {after.id} is not allowed."
            raise Refused(400, message, "transfer.notAllowed")
        one.plan_id, one.updated = after.id, self._store.now()
        return web.json_response(self._view(one))

    # keys of v2

    def _key_view(self, key: ApiKey, one: Subscription) -> Tree:
        found: Tree = {
            "id": key.id,
            "key": key.key,
            "subscriptions": [{"id": one.id}],
            "revoked": key.is_revoked,
            "paused": False,
            "expired": bool(key.expire_at) and key.expire_at < "2026-11-21",
            "createdAt": key.created,
            "updatedAt": key.updated,
        }
        if key.expire_at:
            found["expireAt"] = key.expire_at
        return {**found, "revokedAt": key.revoked_at} if key.revoked_at else found

    async def list_keys(self, request: web.Request) -> web.Response:
        one = self._held(request)
        return paged([self._key_view(key, one) for key in one.keys], request)

    async def renew_key(self, request: web.Request) -> web.Response:
        one, body = self._held(request), await body_of(request)
        custom = (body or {}).get("customApiKey") or ""
        if custom and not self._store.allows_custom_keys:
            message = "You are not allowed to provide a custom API Key"
            raise Refused(400, message, "subscription.invalid")
        if custom and self._store.is_key_taken(custom, one.api_id, one.application_id, ""):
            raise Refused(400, "API Key already exists", "apiKey.existing")
        key = self._store.new_key(custom)
        one.keys.append(key)
        return web.json_response(self._key_view(key, one))

    async def move_key(self, request: web.Request) -> web.Response:
        one = self._held(request)
        key = next((k for k in one.keys if k.id == request.match_info["key"]), None)
        if key is None:
            raise Refused(404, "API Key cannot be found.", "apiKey.notFound")
        key.revoked_at = self._store.now() if request.match_info["verb"] == "_revoke" else ""
        key.updated = self._store.now()
        return web.json_response(self._key_view(key, one))


def _paged_v1(views: list[Tree], request: web.Request) -> web.Response:
    shown, number, size = forms.page_of(views, request.query, 20)
    page = {
        "current": number, "per_page": size, "size": len(shown),
        "total_pages": -(-len(views) // size), "total_elements": len(views),
    }  # fmt: skip
    return web.json_response({"data": shown, "page": page})
