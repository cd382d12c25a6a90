"""What every export says of its model."""

from __future__ import annotations

from rightfit.package import LoadedModel


def card(model: LoadedModel) -> str:
    """The model card's body: task, columns, what it needs, what was promised."""
    task, info = model.task, model.info
    promise = (model.decision or {}).get("estimate") or {}
    lines = [f"# {', '.join(task.target)} by {info['candidate']['family']}", "",
             f"Problem: {task.problem}; metric: {task.metric}; classes: {', '.join(task.classes) or 'none'}.", ""]
    if promise.get("value") is not None:
        lines += [f"Estimated {promise['metric']}: {promise['value']:.4g} "
                  f"[{promise['low']:.4g}, {promise['high']:.4g}].", ""]
    lines += ["| column | kind |", "| --- | --- |", *(f"| {c.name} | {c.kind} |" for c in model.schema.features), ""]
    needs = [f"{name}=={version}" if version else name for name, version in info["requires"].items()]
    return "\n".join([*lines, f"Needs: {', '.join(needs)}. Written by rightfit {info['rightfit']}.", ""])
