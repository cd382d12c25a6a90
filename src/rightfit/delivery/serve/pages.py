"""What people look at: a page to try the model by hand, and the description of the interface; both work offline."""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rightfit.delivery.serve.served import Served

SHOWN_CATEGORIES = 200
NUMBER = r"^\s*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?)?\s*$"
ERRORS = {"400": "The body cannot be read", "401": "No token that fits", "404": "No such model",
          "408": "The body did not arrive in time",
          "413": "Too many bytes or rows", "415": "Another kind of body, or a compressed one",
          "422": "A field breaks the schema", "429": "The queue is full; see Retry-After",
          "503": "The deadline passed, or not ready"}


def _file(name: str) -> str:
    return (resources.files("rightfit.delivery.serve") / "static" / name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """The one script of the page, with its words."""
    return _file("page.js").replace("/*MESSAGES*/", _file("messages.json").replace("</", "<\\/"))


@cache
def home() -> str:
    """The page at `/`; its form is built in the browser from /schema."""
    return _file("page.html").replace("/*STYLE*/", _file("page.css")).replace("/*SCRIPT*/", script())


def policy(code: str | None) -> dict[str, str]:
    """Headers under which only the one script runs and nothing is loaded from elsewhere."""
    digest = base64.b64encode(hashlib.sha256((code or "").encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; connect-src 'self'; " if code else ""
    return {"Content-Security-Policy": f"default-src 'none'; {allowed}style-src 'unsafe-inline'; img-src data: blob:; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer"}


def form_schema(served: Served, name: str) -> dict[str, Any]:
    """The fields of a record, for forms: name, kind, categories, range, a real example."""
    sample = served.model.sample[0] if served.model.sample else {}
    fields = []
    for column in served.features:
        value = sample.get(column.name)
        plain = isinstance(value, str | int | float | bool) and column.name not in served.media
        fields.append({"name": column.name, "kind": column.kind, "file": column.name in served.media,
                       "categories": list(column.categories[:SHOWN_CATEGORIES]), "low": column.low,
                       "high": column.high, "example": value if plain else None})
    task = served.model.task
    return {"model": name, "version": served.version, "number": served.number, "problem": task.problem,
            "target": list(task.target), "classes": list(task.classes), "threshold": served.threshold, "fields": fields}


def _field(column: Any, file: bool) -> dict[str, Any]:
    if file:
        return {"type": ["string", "null"], "description": "base64, or a base64 data URI"}
    if column.kind == "numeric":
        seen = f"seen in training: {column.low} to {column.high}" if column.low is not None else ""
        return {"type": ["number", "string", "boolean", "null"], "pattern": NUMBER, "description": seen}
    if column.kind == "boolean":
        return {"type": ["boolean", "number", "string", "null"], "description": " or ".join(column.categories)}
    if column.kind == "datetime":
        return {"type": ["string", "null"], "description": "a date or a moment, ISO 8601"}
    examples = ", ".join(column.categories[:8])
    return {"type": ["string", "number", "boolean", "null"], "description": f"e.g. {examples}" if examples else ""}


def openapi(served: Served, name: str) -> dict[str, Any]:
    """The interface as OpenAPI 3.1, with the record's schema."""
    from importlib.metadata import version

    record = {"type": "object", "required": list(served.names), "additionalProperties": True,
              "properties": {c.name: _field(c, c.name in served.media) for c in served.features}}
    one = {"$ref": "#/components/schemas/Record"}
    any_object = {"type": "object"}

    def call(summary: str, body: Any = None, errors: tuple[str, ...] = ("401",), kinds: Any = None,
             parameters: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "The answer"}}}
        for status in errors:
            schema = {"$ref": "#/components/schemas/Error"}
            found["responses"][status] = {"description": ERRORS[status],
                                          "content": {"application/json": {"schema": schema}}}
        if body is not None:
            found["requestBody"] = {"required": True, "content": {
                "application/json": {"schema": body}, **(kinds or {})}}
        return {**found, "parameters": parameters} if parameters else found

    whole = tuple(status for status in ERRORS if status != "404")
    lost = ("401", "404")
    model = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": [name]}}]
    tensor = {"type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
        "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"}, "data": {"type": "array"}}}
    forms = {"dataframe_split": {"type": "object", "required": ["columns", "data"]},
             "dataframe_records": {"type": "array", "items": one}, "instances": {"type": "array"},
             "inputs": {"type": ["object", "array"]}}
    reasons = [{"name": "reasons", "in": "query", "required": False, "description": "How many top reasons to give",
                "schema": {"type": "integer", "minimum": 0, "maximum": 50}}]
    paths = {
        "/predict": {"post": call("Predict one record or a list of records", {"anyOf": [
            one, {"type": "array", "items": one}]}, whole, {"multipart/form-data": {"schema": any_object}}, reasons)},
        "/schema": {"get": call("The fields of a record")},
        "/metrics": {"get": call("Figures for Prometheus")},
        "/v2": {"get": call("Open Inference Protocol: the server")},
        "/v2/health/live": {"get": call("Is the process up?", errors=())},
        "/v2/health/ready": {"get": call("Is the model warm?", errors=("503",))},
        "/v2/models/{model}": {"get": call("Open Inference Protocol: the model", errors=lost, parameters=model)},
        "/v2/models/{model}/ready": {"get": call("Is this model warm?", errors=(*lost, "503"), parameters=model)},
        "/v2/models/{model}/infer": {"post": call("Open Inference Protocol: one tensor per feature", {
            "type": "object", "required": ["inputs"], "properties": {
                "inputs": {"type": "array", "minItems": 1, "items": tensor}}}, ("404", *whole), parameters=model)},
        "/ping": {"get": call("SageMaker, MLflow: health", errors=("503",))},
        "/health": {"get": call("MLflow: health", errors=("503",))},
        "/invocations": {"post": call("SageMaker, MLflow: any of the four forms, or CSV", {"oneOf": [
            {"type": "object", "required": [form], "properties": {form: schema}} for form, schema in forms.items()]},
            whole, {"text/csv": {"schema": {"type": "string", "minLength": 1}}})}}
    fault = {"type": "object", "properties": {"row": {"type": "integer"}, "field": {"type": "string"},
                                              "must": {"type": "string"}, "got": {"type": "string"}}}
    error = {"type": "object", "required": ["error"], "properties": {
        "error": {"type": "string"}, "detail": {"type": "array", "items": fault}}}
    return {"openapi": "3.1.0", "info": {"title": f"rightfit: {name}", "version": served.version[:12],
                                         "description": f"Served by rightfit {version('rightfit')}."},
            "paths": paths, "security": [{}, {"token": []}],
            "components": {"schemas": {"Record": record, "Error": error},
                           "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}}


def docs(described: dict[str, Any]) -> str:
    """The interface as one page without scripts."""
    rows = []
    for path, methods in described["paths"].items():
        for method, call in methods.items():
            answers = ", ".join(f"{status} {answer['description']}" for status, answer in call["responses"].items())
            kinds = ", ".join(call.get("requestBody", {}).get("content", {}))
            cells = (f"<code>{method.upper()} {html.escape(path)}</code>", html.escape(call["summary"]),
                     html.escape(kinds), html.escape(answers))
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    fields = [f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(', '.join(field['type']))}</td>"
              f"<td>{html.escape(field['description'])}</td></tr>"
              for name, field in described["components"]["schemas"]["Record"]["properties"].items()]
    return _file("docs.html").replace("/*STYLE*/", _file("page.css")).replace(
        "<!--TITLE-->", html.escape(described["info"]["title"])).replace(
        "<!--CALLS-->", "\n".join(rows)).replace("<!--FIELDS-->", "\n".join(fields))
