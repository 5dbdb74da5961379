"""The console's files at `/`: a page without a build step, served as it lies in `api/console/`.

It holds no secret and needs no token: all that it shows it asks of `/v1`, as everybody does. A strict policy keeps the
browser from running or asking anything that is not from here.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "media-src 'self' blob:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)  # fmt: skip
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def add_console(app: web.Application) -> None:
    """Serve the page at `/` and its files below `/console/`. All of them are read now."""
    for file in resources.files("voxtrad.api").joinpath("console").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in TYPES:
            path = "/" if file.name == "index.html" else f"/console/{file.name}"
            app.router.add_get(path, _served(file.read_bytes(), TYPES[suffix]))


def _served(body: bytes, content_type: str) -> Handler:
    etag = hashlib.sha256(body).hexdigest()[:16]

    async def serve(request: web.Request) -> web.StreamResponse:
        if any(tag.value == etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers={**HEADERS, "ETag": f'"{etag}"'})
        response = web.Response(body=body, content_type=content_type, charset="utf-8", headers=HEADERS)
        response.etag = etag
        return response

    return serve
