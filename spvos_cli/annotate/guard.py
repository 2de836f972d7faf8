"""Who may talk to the server: a browser on this machine that was given the address with the token."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")  # any port: ssh -L may use another
READING = {"GET", "HEAD"}
KINDS = {"POST": {"application/json"}, "PUT": {"application/json", "image/png"}}  # of what changes send
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Lets requests through whose Host is this machine, whose Origin is their Host, and that carry the token:
    in the first address, from where it goes into a cookie and out of sight.

    Args:
        app: what answers them.
        token: a secret.

    Attributes:
        last_request: when the last one came that was let through, by `time.monotonic`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token
        # cookies know no ports: servers beside each other have one each
        self.cookie = f"spvos_{hashlib.sha256(token.encode()).hexdigest()[:8]}"
        self.last_request = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            self.last_request = time.monotonic()
            await self.app(scope, receive, send_safe)
        else:
            await refusal(scope, receive, send_safe)

    def _refusal(self, scope: Scope) -> Response | None:
        """What a request gets that is not let through; None for one that is."""
        if scope["type"] != "http":
            return PlainTextResponse("no such protocol", 403)
        headers, method = Headers(scope=scope), scope["method"]
        hosts, origin = headers.getlist("host"), headers.get("origin")
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            return PlainTextResponse("not the name of this machine", 403)
        if origin is not None and origin != f"http://{hosts[0]}":
            return PlainTextResponse("a request of another site", 403)
        given = QueryParams(scope["query_string"]).get("token")
        if scope["path"] == "/" and method == "GET" and given is not None:
            return self._welcome(given)
        if not self._is_token(self._carried(headers)):
            return PlainTextResponse("open the address that spvos annotate has printed", 403)
        if method not in READING:
            kind = headers.get("content-type", "").split(";")[0].strip().lower()
            if kind not in KINDS.get(method, set()):
                return PlainTextResponse("a change is a POST or PUT of JSON or PNG", 415)
        return None

    def _welcome(self, given: str) -> Response:
        if not self._is_token(given):
            return PlainTextResponse("not the token that spvos annotate has printed", 403)
        response = RedirectResponse("/", 303)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return response

    def _carried(self, headers: Headers) -> str:
        """The token in the cookie."""
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        return cookies[self.cookie].value if self.cookie in cookies else ""

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())
