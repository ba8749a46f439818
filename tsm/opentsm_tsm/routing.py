"""Routes into an ASGI application whose own refusals (no such path, wrong method) are problem documents too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from opentsm_tsm.messages import Problem
from opentsm_tsm.wire import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import Route
    from starlette.types import Lifespan

__all__ = ["application"]


def application(routes: Sequence[Route], lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the application of these routes.

    Spec: RFC 9457 (problem documents); RFC 9110, 15.5.6 (405 names the methods that are allowed).
    """
    handlers = {HTTPException: _refused, ClientDisconnect: _gone}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _refused(_request: Request, error: Exception) -> Response:
    """Answer what the router refuses."""
    assert isinstance(error, HTTPException)
    problem = Problem(type="about:blank", title=error.detail, status=error.status_code)
    return Response(encode(problem), error.status_code, error.headers, media_type="application/problem+json")


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client hung up within its request, which is no fault of the server's to log."""
    return Response(status_code=400)
