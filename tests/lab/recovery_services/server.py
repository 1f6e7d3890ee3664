# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP side: every request on its way in, and every answer on its way out."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import ssl
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from tests.lab.recovery_services import arm_compute, arm_items, arm_jobs, arm_vaults, control
from tests.lab.recovery_services.call import Call, Reply
from tests.lab.recovery_services.control import World
from tests.lab.recovery_services.entra import OBJECT_ID, endpoints
from tests.lab.recovery_services.errors import AzureError, denied, gateway, unreadable, unregistered
from tests.lab.recovery_services.faults import Fault
from tests.lab.recovery_services.journal import Journal
from tests.lab.recovery_services.ledger import Request
from tests.lab.recovery_services.model import new_id
from tests.lab.recovery_services.routes import Route, Routes
from tests.lab.recovery_services.times import stamp

#: Versions of the services' interfaces that are served.
OLDEST, NEWEST = "2015-01-01", "2026-10-01"
_VERSION = re.compile(r"\d{4}-\d\d-\d\d(-preview|-alpha|-beta|-privatepreview)?$")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_SIGN_IN = re.compile(r"/([^/]+)/oauth2/(?:v2\.0/)?token/?$", re.IGNORECASE)
_OPENID = re.compile(r"/([^/]+)/(?:v2\.0/)?\.well-known/openid-configuration/?$", re.IGNORECASE)
_INSTANCE = re.compile(r"/common/discovery/instance/?$", re.IGNORECASE)
_METADATA = re.compile(r"/metadata/endpoints/?$", re.IGNORECASE)


def routes() -> Routes:
    """Return the table of all requests to the control plane."""
    table = Routes()
    for part in (arm_vaults, arm_items, arm_jobs, arm_compute):
        part.add_to(table)
    return table


#: Who is to blame for an error, in the service's own opinion.
_CAUSES = {
    **dict.fromkeys((401, 403, 429, 503), "gateway"),
    **dict.fromkeys((500, 502, 504), "service"),
}


@dataclass
class Incoming:
    """A request as it came in, and what becomes known of it on the way."""

    method: str
    path: str
    segments: List[str]
    query: Dict[str, str]
    headers: Mapping[str, str]
    raw: bytes
    action: str = "unknown"
    write: bool = False
    json: Any = None
    fault: Optional[Fault] = None
    #: Headers of the answer, also of an error.
    extra: Dict[str, str] = field(default_factory=dict)


class Server:
    """One control plane on one port."""

    def __init__(self, world: World, journal: Optional[Journal] = None) -> None:
        self.world = world
        self._journal = journal or Journal(None)
        self._routes = routes()
        self._runner: Optional[web.AppRunner] = None

    async def listen(self, port: int, context: ssl.SSLContext) -> str:
        """Listen on this port of 127.0.0.1, or a free one, and give the address."""
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context, backlog=512)
        await site.start()
        number = self._runner.addresses[0][1]
        self.world.base = self.world.directory.base = f"https://127.0.0.1:{number}"
        return self.world.base

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw_path = request.rel_url.raw_path
        segments = [unquote(part) for part in raw_path.split("/") if part]
        query = {
            name.lower(): value
            for name, value in parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
        }
        path = "/" + "/".join(segments)
        incoming = Incoming(
            request.method, path, segments, query, request.headers, await request.read()
        )
        if segments[:1] == ["lab"]:
            called = "/".join(segments[1:])
            return _response(control.handle(self.world, request.method, called, incoming.raw), {})
        return await self._serve(request, incoming)

    async def _serve(self, request: web.Request, incoming: Incoming) -> web.StreamResponse:
        """Answer a client of the service, faults included, and put it on record."""
        fault = incoming.fault = self.world.faults.take(incoming.method, incoming.path)
        estate = self.world.estate
        if fault is not None and fault.delay_s:
            await asyncio.sleep(self.world.clock.wait(fault.delay_s))
        if fault is not None and fault.change and not fault.after:
            control.change(self.world, fault.change)
        self._let_known(incoming)
        reply = Reply(0)
        if fault is None or fault.after or not fault.answers:
            estate.hang = fault is not None and fault.kind == "never_ends"
            try:
                reply = self._reply(incoming)
            finally:
                estate.hang = False
        if fault is not None and fault.change and fault.after:
            control.change(self.world, fault.change)
        cut = fault is not None and fault.kind in ("reset", "tls")
        if fault is not None and fault.answers and not cut:
            reply = self._faulty(fault)
        self._record(incoming, 0 if cut else reply.status)
        if self.world.per_look_s and _goes_on(reply):
            self.world.clock.advance(self.world.per_look_s)
        if cut:
            if request.transport is not None:
                if fault is not None and fault.kind == "tls":
                    # Below TLS: it is not a TLS record.
                    os.write(request.transport.get_extra_info("socket").fileno(), b"no TLS" * 9)
                request.transport.abort()
            return web.Response(status=500)
        response = _response(reply, self._common(incoming))
        if fault is not None and fault.kind == "malformed":
            response.content_type = "application/json"
            response.text = '{"value": [{"id": "/subscr'
        if incoming.action not in ("signin", "metadata"):
            self._journal.add(
                method=incoming.method,
                url=request.rel_url.raw_path_qs,
                request=incoming.json,
                status=response.status,
                headers=dict(response.headers),
                response=reply.body,
                fault=fault is not None and fault.answers,
                client=request.headers.get("User-Agent", ""),
            )
        return response

    def _faulty(self, fault: Fault) -> Reply:
        cause = _CAUSES.get(fault.status or 500)
        headers = {**({"x-ms-failure-cause": cause} if cause else {}), **(fault.headers or {})}
        if fault.retry_after is not None:
            headers["Retry-After"] = f"{fault.retry_after:g}"
        if fault.kind in ("malformed", "empty"):
            return Reply(fault.status or 200, None, headers)
        return Reply(fault.status or 500, fault.error(), headers)

    def _let_known(self, incoming: Incoming) -> None:
        """Record the kind of the request before it is answered."""
        if _SIGN_IN.match(incoming.path):
            incoming.action = "signin"
            return
        for pattern in (_OPENID, _INSTANCE, _METADATA):
            if pattern.match(incoming.path):
                incoming.action = "metadata"
                return
        found = self._routes.find(incoming.method, incoming.segments)
        if found is not None:
            incoming.action, incoming.write = found[0].action, found[0].write
        else:
            incoming.write = incoming.method in ("PUT", "PATCH", "DELETE", "POST")
        if incoming.raw:
            try:
                incoming.json = json.loads(incoming.raw)
            except ValueError:
                incoming.json = None

    def _reply(self, incoming: Incoming) -> Reply:
        directory = self.world.directory
        sign_in = _SIGN_IN.match(incoming.path)
        if sign_in and incoming.method == "POST":
            form = dict(parse_qsl(incoming.raw.decode(errors="replace")))
            return directory.token(sign_in[1], form)
        opened = _OPENID.match(incoming.path)
        if opened:
            return directory.configuration(opened[1])
        if _INSTANCE.match(incoming.path):
            return directory.discovery(incoming.query)
        if _METADATA.match(incoming.path):
            return Reply(200, endpoints(self.world.base, incoming.query.get("api-version", "")))
        try:
            return self._control_plane(incoming)
        except AzureError as error:
            return Reply(error.status, error.body, error.headers)

    def _control_plane(self, incoming: Incoming) -> Reply:
        world = self.world
        authorization = incoming.headers.get("Authorization")
        fault = incoming.fault
        if fault is not None and fault.kind == "expired_token":
            world.directory.revoke(authorization)
        world.directory.check(authorization)
        _check_version(incoming.query.get("api-version"))
        subscription = _subscription(incoming.segments)
        if subscription is not None:
            world.directory.check_tenant(world.estate.subscription(subscription)["tenant"])
        found = self._routes.find(incoming.method, incoming.segments)
        if found is None:
            raise gateway(
                404,
                "InvalidResourceType",
                f"The request '{incoming.method} {incoming.path}' could not be matched to a "
                "resource type of this service.",
            )
        route, params = found
        self._check_rights(route, incoming)
        incoming.extra = world.limits.check(route, subscription or "", world.estate.now())
        return self._handled(route, params, incoming)

    def _check_rights(self, route: Route, incoming: Incoming) -> None:
        """Refuse what tests have forbidden to the client, or to the subscription."""
        estate, action = self.world.estate, route.action.lower()
        if any(fnmatch.fnmatch(action, pattern.lower()) for pattern in estate.denied):
            client = self.world.directory.client_id
            raise denied(client, OBJECT_ID, route.action, incoming.path)
        for namespace in estate.unregistered:
            if route.write and action.startswith(f"{namespace.lower()}/"):
                raise unregistered(namespace)

    def _handled(self, route: Route, params: Dict[str, str], incoming: Incoming) -> Reply:
        world = self.world
        if incoming.raw and incoming.json is None and incoming.raw.strip() != b"null":
            raise unreadable()
        call = Call(
            world.estate,
            incoming.method,
            world.base,
            "/" + "/".join(incoming.segments),
            params,
            incoming.query,
            incoming.json,
        )
        reply = route.handler(call)
        if "Retry-After" in reply.headers:
            wait = world.clock.real_seconds(float(reply.headers["Retry-After"]))
            reply.headers["Retry-After"] = str(wait)
        return reply

    def _common(self, incoming: Incoming) -> Dict[str, str]:
        """Return what every answer of the service carries."""
        headers = {"Date": format_datetime(self.world.estate.now(), usegmt=True)}
        if incoming.action in ("signin", "metadata"):
            return headers
        correlation = incoming.headers.get("x-ms-correlation-request-id") or new_id()
        return {
            **headers,
            **incoming.extra,
            "x-ms-request-id": new_id(),
            "x-ms-correlation-request-id": correlation,
            "x-ms-routing-request-id": f"LAB:{new_id()}",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }

    def _record(self, incoming: Incoming, status: int) -> None:
        self.world.ledger.add(
            Request(
                incoming.method,
                incoming.path,
                incoming.action,
                status,
                incoming.write,
                stamp(self.world.estate.now()),
                incoming.query,
                incoming.json,
                incoming.fault is not None,
            )
        )


def _goes_on(reply: Reply) -> bool:
    """Return True if an answer reports an operation in progress, so that a client polls again."""
    body: Dict[str, Any] = reply.body if isinstance(reply.body, dict) else {}
    job = body.get("properties") or {}
    return reply.status == 202 or "InProgress" in (body.get("status"), job.get("status"))


def _subscription(segments: List[str]) -> Optional[str]:
    if len(segments) < 2 or segments[0].lower() != "subscriptions":
        return None
    if not _GUID.match(segments[1]):
        raise gateway(
            400,
            "InvalidSubscriptionId",
            f"The provided subscription identifier '{segments[1]}' is malformed or invalid.",
        )
    return segments[1]


def _check_version(version: Optional[str]) -> None:
    if not version:
        raise gateway(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _VERSION.match(version) or not OLDEST <= version[:10] <= NEWEST:
        raise gateway(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are those from "
            f"'{OLDEST}' to '{NEWEST}'.",
        )


def _response(reply: Reply, headers: Mapping[str, str]) -> web.Response:
    every = {**headers, **reply.headers}
    if reply.body is None:
        return web.Response(status=reply.status, headers=every)
    if isinstance(reply.body, str):
        return web.Response(status=reply.status, text=reply.body, headers=every)
    return web.json_response(reply.body, status=reply.status, headers=every)
