"""What people look at: a page to try the model by hand, and the description of the interface; both work offline."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from rightfit.data.values import FALSE, PAIRS, TRUE

if TYPE_CHECKING:
    from rightfit.delivery.serve.served import Served

SHOWN_CATEGORIES = 200
NUMBER = r"^\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?)?\s*$"
DAY = (r"(1[7-9]|2[01])[0-9][0-9]-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
       r"|02-(0[1-9]|1[0-9]|2[0-8]))")
MOMENT = (rf"^({DAY}(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,6}})?)?"
          r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?)?$")
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
                       "categories": list(column.categories[:SHOWN_CATEGORIES]),
                       "more": len(column.categories) > SHOWN_CATEGORIES, "low": column.low,
                       "high": column.high, "example": value if plain else None})
    task = served.model.task
    return {"model": name, "version": served.version, "number": served.number, "problem": task.problem,
            "target": list(task.target), "classes": list(task.classes), "threshold": served.threshold, "fields": fields}


def _field(column: Any, file: bool) -> dict[str, Any]:
    if file:
        return {"type": ["string"], "contentEncoding": "base64", "description": "base64, or a base64 data URI"}
    if column.kind == "numeric":
        seen = f"seen in training: {column.low} to {column.high}" if column.low is not None else ""
        return {"type": ["number", "string", "boolean", "null"], "pattern": NUMBER, "description": seen}
    if column.kind == "boolean":
        return {"type": ["boolean", "number", "string", "null"], "pattern": _either(column),
                "description": " or ".join(column.categories)}
    if column.kind == "datetime":
        return {"type": ["string", "null"], "pattern": MOMENT, "description": "a date or a moment, ISO 8601"}
    examples = ", ".join(column.categories[:8])
    return {"type": ["string", "number", "boolean", "null"], "description": f"e.g. {examples}" if examples else ""}


def _either(column: Any) -> str:
    """The texts that a column of two values takes; NUMBER's where they are the usual ones, as in data.values."""
    low, high = column.categories or ("0", "1")
    usual = (low.casefold(), high.casefold()) in PAIRS
    words = {low, high, *(FALSE | TRUE if usual else ())}
    cases = sorted(case for word in words for case in {word, word.lower(), word.upper(), word.title()})
    text = "|".join(map(re.escape, cases))
    return rf"^\s*({text})?\s*$|{NUMBER}" if usual else rf"^\s*({text})?\s*$"


def _form(column: Any, file: bool) -> dict[str, Any]:
    """A field of a form, where all is text, and empty is missing."""
    if file:
        return {"type": "string", "format": "binary"}
    return {**{k: v for k, v in _field(column, file).items() if k == "pattern"}, "type": "string"}


def _answers(task: Any) -> dict[str, Any]:
    """What /predict says of one record, and with a list of them."""
    one: dict[str, Any] = {"label": {}, "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
                           "threshold": {}} if task.classifies else {"value": {}}
    one |= {"interval": {"type": "array"}, "set": {"type": "array"}, "reasons": {"type": "array"}}
    named = {"model_version": {"type": "string"}, "registry_version": {"type": "integer"},
             "request_id": {"type": "string"}}
    first = "label" if task.classifies else "value"
    single = {"type": "object", "required": [first, "model_version", "request_id"], "properties": {**one, **named}}
    item = {"type": "object", "required": [first], "properties": one}
    several = {"type": "object", "required": ["predictions", "model_version", "request_id"],
               "properties": {"predictions": {"type": "array", "items": item}, **named}}
    return {"anyOf": [single, several]}


def openapi(served: Served, name: str) -> dict[str, Any]:
    """The interface as OpenAPI 3.1, with the record's schema."""
    from importlib.metadata import version

    record = {"type": "object", "required": list(served.names), "additionalProperties": True,
              "properties": {c.name: _field(c, c.name in served.media) for c in served.features}}
    one = {"$ref": "#/components/schemas/Record"}
    filled = {"type": "object", "required": list(served.names), "additionalProperties": True,
              "properties": {c.name: _form(c, c.name in served.media) for c in served.features}}

    def call(summary: str, body: Any = None, errors: tuple[str, ...] = ("401",), kinds: Any = None,
             parameters: Any = None, answer: Any = None) -> dict[str, Any]:
        said = {"content": {"application/json": {"schema": answer}}} if answer else {}
        found: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "The answer", **said}}}
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
        "name": {"type": "string", "examples": list(served.names[:5])},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"}, "data": {"type": "array"}}}
    forms = {"dataframe_split": {"type": "object", "required": ["columns", "data"]},
             "dataframe_records": {"type": "array", "items": one}, "instances": {"type": "array"},
             "inputs": {"type": ["object", "array"]}}
    reasons = [{"name": "reasons", "in": "query", "required": False, "description": "How many top reasons to give",
                "schema": {"type": "integer", "minimum": 0, "maximum": 50}}]
    paths = {
        "/predict": {"post": call("Predict one record or a list of records", {"anyOf": [
            one, {"type": "array", "items": one}]}, whole, {"multipart/form-data": {"schema": filled}}, reasons,
            _answers(served.model.task))},
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
