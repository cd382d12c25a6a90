"""Protocols that others speak: Open Inference Protocol v2, MLflow's scoring server, SageMaker's containers."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rightfit.delivery.serve import bodies
from rightfit.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from rightfit.delivery.serve.served import Scored, Served
    from rightfit.delivery.serve.server import Server

Handler = Callable[["Request"], Awaitable["Response"]]
DATATYPES = {"numeric": "FP64", "boolean": "BOOL"}
OCTETS = "application/octet-stream"


def routes(server: Server, reply: Callable[..., Response]) -> dict[str, tuple[str, Handler]]:
    """{path: (method, handler)}, with answers made by `reply`."""

    def known(request: Request, served: Served | None = None) -> bool:
        version = request.path_params.get("version")
        return request.path_params["model"] == server.name and (
            version is None or version in versions(served or server.engine.served))

    def missing(request: Request) -> Response:
        return reply({"error": f"the model must be {server.name}; got {request.url.path[:150]}."}, 404)

    async def live(request: Request) -> Response:
        return reply({"live": True})

    async def ready(request: Request) -> Response:
        return reply({"ready": server.ready}, 200 if server.ready else 503)

    async def about(request: Request) -> Response:
        from importlib.metadata import version

        return reply({"name": "rightfit", "version": version("rightfit"), "extensions": []})

    async def model(request: Request) -> Response:
        return reply(metadata(server.engine.served, server.name)) if known(request) else missing(request)

    async def model_ready(request: Request) -> Response:
        if not known(request):
            return missing(request)
        return reply({"name": server.name, "ready": server.ready}, 200 if server.ready else 503)

    async def infer(request: Request) -> Response:
        if not known(request):
            return missing(request)
        if request.headers.get("content-type", "").startswith(OCTETS) or "inference-header-content-length" in \
                request.headers:
            raise UsageError("tensors must be sent as JSON; got binary data, leave the binary extension off.")
        body = bodies.parsed(await request.body())
        served, scored = await server.answer(request, bodies.tensors(body))
        if not known(request, served):  # another version took over while this one waited
            return missing(request)
        found: dict[str, Any] = {"model_name": server.name, "model_version": served.version,
                                 "outputs": asked(outputs(served, scored), body)}
        if served.number is not None:
            found["parameters"] = {"registry_version": served.number}
        return reply({**found, "id": body["id"]} if isinstance(body.get("id"), str) else found)

    found: dict[str, tuple[str, Handler]] = {
        "/v2/health/live": ("GET", live), "/v2/health/ready": ("GET", ready), "/v2": ("GET", about)}
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found |= {base: ("GET", model), f"{base}/ready": ("GET", model_ready), f"{base}/infer": ("POST", infer)}
    return found | _containers(server, reply)


def _containers(server: Server, reply: Callable[..., Response]) -> dict[str, tuple[str, Handler]]:
    """The calls of MLflow's scoring server and of SageMaker's containers."""
    from starlette.responses import Response

    async def ping(request: Request) -> Response:
        return Response(b"\n", 200 if server.ready else 503, media_type="application/json")

    async def invocations(request: Request) -> Response:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        body = await request.body()
        if kind == "text/csv":
            records = bodies.table(body)
        elif kind == "application/json":
            records = bodies.mlflow(bodies.parsed(body), server.engine.served.names)
        else:
            return reply({"error": f"the body must be application/json or text/csv; got {kind[:60]!r}."}, 415)
        served, scored = await server.answer(request, records)
        named = {f"x-{word.replace('_', '-')}": str(value) for word, value in served.identity.items()}
        found = [one["prediction"] for one in scored.answers]
        if request.headers.get("accept", "").startswith("text/csv"):
            into = io.StringIO(newline="")
            csv.writer(into, lineterminator="\n").writerows(v if isinstance(v, list) else [v] for v in found)
            return Response(into.getvalue(), headers=named, media_type="text/csv")
        return reply({"predictions": found}, headers=named)

    return {"/ping": ("GET", ping), "/health": ("GET", ping), "/invocations": ("POST", invocations)}


def versions(served: Served) -> list[str]:
    """The names that the version being served answers to: the hash of its manifest, its number in the registry."""
    return [str(value) for value in served.identity.values()]


def metadata(served: Served, name: str) -> dict[str, Any]:
    """The model's metadata (Open Inference Protocol v2, "Model Metadata")."""
    task = served.model.task
    inputs = [{"name": c.name, "datatype": DATATYPES.get(c.kind, "BYTES"), "shape": [-1]} for c in served.features]
    if task.classifies:
        several = task.problem == "multilabel"
        labels: dict[str, Any] = {"name": "label", "datatype": "BOOL" if several else "BYTES",
                                  "shape": [-1, len(task.classes)] if several else [-1]}
        outs = [labels, {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(task.classes)],
                         "parameters": {"classes": list(task.classes)}}]
    else:
        outs = [{"name": "value", "datatype": "FP64", "shape": [-1, task.outputs]}]
    return {"name": name, "versions": versions(served), "platform": "rightfit", "inputs": inputs, "outputs": outs}


def outputs(served: Served, scored: Scored) -> list[dict[str, Any]]:
    """The answers as tensors: label (multilabel: one truth value a class) and probabilities, or values."""
    task = served.model.task
    n, k = scored.values.shape
    values = scored.values.ravel().tolist()
    if not task.classifies:
        return [{"name": "value", "datatype": "FP64", "shape": [n, k], "data": values}]
    labels = [one["prediction"] for one in scored.answers]
    if task.problem == "multilabel":
        first: dict[str, Any] = {"name": "label", "datatype": "BOOL", "shape": [n, k],
                                 "data": [name in one for one in labels for name in task.classes]}
    else:
        first = {"name": "label", "datatype": "BYTES", "shape": [n], "data": labels}
    return [first, {"name": "probabilities", "datatype": "FP64", "shape": [n, k], "data": values,
                    "parameters": {"classes": list(task.classes)}}]


def asked(found: list[dict[str, Any]], body: Any) -> list[dict[str, Any]]:
    """The outputs that a request names, else all. Raises UnknownName, UsageError."""
    wanted = body.get("outputs")
    if not wanted:
        return found
    if not isinstance(wanted, list) or not all(isinstance(o, dict) and isinstance(o.get("name"), str) for o in wanted):
        raise UsageError("outputs must be a list of objects with a name; got something else.")
    by_name = {one["name"]: one for one in found}
    for one in wanted:
        if one["name"] not in by_name:
            raise UnknownName("output", one["name"][:60], by_name)
    return [by_name[one["name"]] for one in wanted]
