"""Which requests the local page answers.

A page on a loopback address is for this machine's user. Browsers, however, carry requests of strangers' pages there: by
a name that the stranger lets point to 127.0.0.1, which shows in the header Host, or straight, which shows in Origin.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OVERHEAD = 2**20  # bytes of a request beside the picture in it


def is_loopback(host: str) -> bool:
    """Whether this machine alone reaches what listens at `host`."""
    return all(ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None))


def in_url(host: str) -> str:
    """As it stands in an address: that of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def guards(host: str, largest: int) -> list[Middleware]:
    """For a page that listens at `host` and takes pictures of `largest` bytes."""
    if not is_loopback(host):
        return [Middleware(Guard, largest=largest, own_origin=False)]
    return [
        Middleware(TrustedHostMiddleware, ["localhost", "127.0.0.1", "[::1]", in_url(host)], www_redirect=False),
        Middleware(Guard, largest=largest, own_origin=True),
    ]


class Guard:
    """Refuses requests that are too large, before anything of them is stored, and those of other pages.

    Args:
        largest: bytes of a picture.
        own_origin: whether only the page itself may ask.
    """

    def __init__(self, app: ASGIApp, *, largest: int, own_origin: bool) -> None:
        self.app, self.largest, self.own_origin = app, largest, own_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope), scope["method"])):
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> PlainTextResponse | None:
        origin, length = headers.get("origin"), headers.get("content-length")
        if self.own_origin and origin is not None and origin.partition("://")[2] != headers.get("host"):
            return PlainTextResponse("a request of another page", 403)
        if "transfer-encoding" in headers or (length is None and method == "POST"):  # the former is what counts of both
            return PlainTextResponse("a request must say its length", 411)
        if length is not None and int(length) > self.largest + OVERHEAD:
            return PlainTextResponse(f"exceeded: more than one picture of {self.largest} bytes", 413)
        return None
