"""The OpenAPI description of the messaging API, made from the very types that parse it, and a plain page of it."""

from __future__ import annotations

import html
from functools import cache
from typing import Any, Final

import msgspec

from opentsm_tsm import messages, operator_messages
from opentsm_tsm.messages import BASE, FUNCTIONS
from opentsm_tsm.wire import encode, openapi_type

__all__ = ["document", "page"]

_VERSION: Final = "2.0.0"
_REF: Final = "#/components/schemas/{name}"
# What is not a function: method, path, body, reply, status, summary.
_OTHERS: Final[tuple[tuple[str, str, type | None, type, int, str], ...]] = (
    ("get", "/operations", None, messages.OperationPage, 200, "The caller's operations, the newest first."),
    ("get", "/operations/{operation}", None, messages.Operation, 200, "One operation; `wait` seconds for its end."),
    (
        "post",
        "/operations/{operation}/resolve",
        messages.ResolveOperation,
        messages.Operation,
        200,
        "Settle an operation in doubt.",
    ),
    ("get", "/audit", None, operator_messages.AuditPage, 200, "The audit log from after record `after` (operator)."),
    ("get", "/ses/{se}", None, operator_messages.SeBelief, 200, "All that is believed of an SE (operator)."),
    (
        "post",
        "/enrolment-codes",
        operator_messages.CreateEnrolmentCode,
        operator_messages.EnrolmentCodeReply,
        201,
        "Make an enrolment code (operator).",
    ),
)
_QUERY: Final = {
    "/operations/{operation}": ("wait", "number", "seconds to wait for the operation's end, 0 to 60"),
    "/audit": ("after", "integer", "number of the last record that is known"),
}


def _content(name: str, media: str = "application/json") -> dict[str, Any]:
    return {"content": {media: {"schema": {"$ref": _REF.format(name=name)}}}}


def _item(body: type | None, reply: type, status: int, summary: str, path: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": _summary(reply), **_content(reply.__name__)},
            "default": {"description": "Refused.", **_content("Problem", "application/problem+json")},
        },
    }
    if body is not None:
        item["requestBody"] = {"required": True, **_content(body.__name__)}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in (part[1:-1] for part in path.split("/") if part.startswith("{"))
    ]
    if path in _QUERY:
        name, kind, description = _QUERY[path]
        parameters.append({"name": name, "in": "query", "schema": {"type": kind}, "description": description})
    if parameters:
        item["parameters"] = parameters
    return item


def _summary(kind: type) -> str:
    return (kind.__doc__ or kind.__name__).partition("\n")[0]


@cache
def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for name, function in FUNCTIONS.items():
        reply, status = (messages.Accepted, 202) if function.operation else (function.reply, 200)
        item = _item(function.request, reply, status, _summary(function.request), f"/{name}")
        item["operationId"] = name
        item["description"] = f"For: {', '.join(sorted(function.roles))}."
        if function.operation:
            item["description"] += f" The operation's result is a `{function.reply.__name__}`."
        paths[f"{BASE}/{name}"] = {"post": item}
    for method, path, body, other, status, summary in _OTHERS:
        paths[f"{BASE}{path}"] = {method: _item(body, other, status, summary, path)}
    kinds: set[type] = {messages.Accepted, messages.Problem}
    kinds |= {function.request for function in FUNCTIONS.values()}
    kinds |= {function.reply for function in FUNCTIONS.values()}
    kinds |= {kind for row in _OTHERS for kind in row[2:4] if isinstance(kind, type)}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, schema_hook=openapi_type, ref_template=_REF)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "opentsm messaging",
                "version": _VERSION,
                "description": (messages.__doc__ or "").strip(),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "security": [{"certificate": []}],
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"certificate": {"type": "mutualTLS"}}},
        }
    )


def page() -> str:
    """Return the API as a plain page of HTML."""
    rows = [
        f"<tr><td><code>POST {BASE}/{name}</code></td><td>{html.escape(_summary(function.request))}</td>"
        f"<td>{', '.join(sorted(function.roles))}</td>"
        f"<td>{'operation → ' if function.operation else ''}{function.reply.__name__}</td></tr>"
        for name, function in FUNCTIONS.items()
    ]
    rows += [
        f"<tr><td><code>{method.upper()} {BASE}{path}</code></td><td>{html.escape(summary)}</td><td></td>"
        f"<td>{reply.__name__}</td></tr>"
        for method, path, _body, reply, _status, summary in _OTHERS
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>opentsm messaging</title>"
        "<style>body{font:16px sans-serif;max-width:70em;margin:2em auto}td{padding:.3em;vertical-align:top}</style>"
        f"<h1>opentsm messaging</h1><p>{html.escape(messages.__doc__ or '')}</p>"
        '<p><a href="openapi.json">openapi.json</a></p><table>'
        f"<tr><th>request<th>what it does<th>who<th>reply</tr>{''.join(rows)}</table></html>"
    )
