"""What goes into an engine and what comes out of it: `Job` and `Outcome`."""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import RightfitError, UsageError
from rightfit.records import State, frozen

RESULT_LIMIT_MIB = 64
"""Results are JSON through a pipe; arrays belong in the store."""


@frozen
class Job:
    """One call of `function` ("module:function") as function(payload, deadline=monotonic seconds) -> JSON mapping.

    `soft_s`: the function is told to stop after so many seconds. `hard_s`: it is stopped. `memory_mib`: resident memory
    above which it is killed; None means no limit. `payload`: JSON values only, because it crosses to another process.
    """

    key: str
    function: str
    payload: Mapping[str, Any]
    soft_s: float = 60.0
    hard_s: float = 75.0
    memory_mib: float | None = None


@frozen
class Outcome:
    """How a job ended. `error` is one sentence; `seconds` is wall time; `peak_mib` is resident memory."""

    key: str
    state: State
    result: Mapping[str, Any] | None = None
    error: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0


def check(job: Job) -> Job:
    """The job, when it can be run. Raises UsageError.

    >>> check(Job(key="a", function="math:sqrt", payload={})).key
    'a'
    """
    module, colon, name = job.function.partition(":")
    if not (module and colon and name):
        raise UsageError(f"a job's function must be written module:function; got function={job.function!r}.")
    if not 0 < job.soft_s <= job.hard_s:
        raise UsageError(f"a job needs 0 < soft_s <= hard_s; got soft_s={job.soft_s}, hard_s={job.hard_s}.")
    if job.memory_mib is not None and not job.memory_mib > 0:
        raise UsageError(f"memory_mib must be above zero; got memory_mib={job.memory_mib}.")
    try:
        json.dumps(job.payload)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a job's payload must hold JSON values only; got key={job.key!r}, {error}.") from error
    return job


def find(function: str) -> Callable[..., Any]:
    """The callable behind "module:function". Raises ImportError or AttributeError."""
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a job's result must hold JSON values only; got {type(value).__name__}")


def explain(error: BaseException) -> str:
    """One line: type, message, and the place the exception came from."""
    text = " ".join(str(error).split())[:400]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (in {frames[-1].name}, {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def call(function: str, payload: Mapping[str, Any], soft_s: float) -> dict[str, Any]:
    """Run a job here: {"state", "result", "error"}, where result went through JSON. Only Ctrl-C escapes."""
    deadline = time.monotonic() + soft_s
    try:
        result = find(function)(payload, deadline=deadline)
        if not isinstance(result, Mapping):
            raise TypeError(f"a job's function must return a mapping; got {type(result).__name__}")
        text = json.dumps(result, default=_plain)
        if len(text) > RESULT_LIMIT_MIB * 2**20:
            raise ValueError(f"a job's result must stay below {RESULT_LIMIT_MIB} MiB; got {len(text) / 2**20:.0f} MiB")
        return {"state": "ok", "result": json.loads(text), "error": ""}
    except RightfitError as error:
        return {"state": "invalid", "result": None, "error": " ".join(str(error).split())}
    except MemoryError as error:
        return {"state": "oom", "result": None, "error": explain(error)}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a job is foreign code: whatever escapes it, SystemExit included, is its outcome
        return {"state": "crashed", "result": None, "error": explain(error)}
