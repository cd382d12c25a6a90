"""Bodies of requests to records: JSON, forms with files, MLflow's four forms, CSV, tensors of the open protocol."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rightfit.errors import DataError, UsageError

Records = list[dict[str, Any]]
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def parsed(body: bytes) -> Any:
    """JSON text as values. Raises UsageError for what is none."""
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body must be JSON; got {str(error)[:120]}, correct it.") from None


def records(value: Any) -> Records:
    """One record or a list of records. Raises UsageError."""
    found = [value] if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        kind = type(value).__name__ if not isinstance(value, list) else "a list of other things"
        raise UsageError(f"the body must be a record or a list of records (JSON objects); got {kind}.")
    return found


def _rows(value: Any, names: Sequence[str], what: str) -> Records:
    """Rows given as records, as lists in the order of the columns, or as bare values of a single column."""
    if not isinstance(value, list):
        raise UsageError(f"{what} must be a list; got {type(value).__name__}.")
    found = []
    for at, row in enumerate(value):
        if isinstance(row, dict):
            found.append(row)
            continue
        cells = row if isinstance(row, list) else [row]
        if len(cells) != len(names):
            raise UsageError(f"a row of {what} must hold {len(names)} values in the order of the schema; got "
                             f"{len(cells)} in row={at}, or send records.")
        found.append(dict(zip(names, cells, strict=True)))
    return found


def columns(value: Mapping[str, Any], what: str = "inputs") -> Records:
    """A mapping of columns to lists of one length, turned into records. Raises UsageError."""
    lists = {name: cells if isinstance(cells, list) else [cells] for name, cells in value.items()}
    lengths = {len(cells) for cells in lists.values()}
    if len(lengths) > 1:
        raise UsageError(f"columns of {what} must be of one length; got lengths={sorted(lengths)[:5]}.")
    count = lengths.pop() if lengths else 0
    flat = {name: [c[0] if isinstance(c, list) and len(c) == 1 else c for c in cells] for name, cells in lists.items()}
    return [{name: cells[at] for name, cells in flat.items()} for at in range(count)]


def mlflow(value: Any, names: Sequence[str]) -> Records:
    """The four JSON forms of MLflow's scoring server (its documentation, "Local inference server"). Raises UsageError.

    >>> mlflow({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, ("a", "b"))
    [{'a': 1, 'b': 2}]
    >>> mlflow({"inputs": {"a": [1, 2], "b": [3, 4]}}, ("a", "b"))
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]
    """
    given = [form for form in FORMS if isinstance(value, dict) and form in value]
    if len(given) != 1:
        raise UsageError(f"the body must hold exactly one of {', '.join(FORMS)}; got {given or type(value).__name__}.")
    inside = value[given[0]]
    if given[0] == "dataframe_split":
        if not isinstance(inside, dict) or not isinstance(inside.get("columns"), list):
            raise UsageError("dataframe_split must hold columns and data; got no columns.")
        named = [str(name) for name in inside["columns"]]
        if len(set(named)) != len(named):
            raise UsageError(f"columns must have different names; got columns={named[:10]}.")
        rows = inside.get("data")
        if isinstance(rows, list) and any(not isinstance(row, list) for row in rows):
            raise UsageError("dataframe_split must hold rows as lists; got another kind of row.")
        return _rows(rows, named, "dataframe_split")
    if given[0] == "dataframe_records":
        return records(inside)
    return columns(inside) if given[0] == "inputs" and isinstance(inside, dict) else _rows(inside, names, given[0])


def table(body: bytes) -> Records:
    """CSV with a header as records of texts; empty cells are empty texts. Raises UsageError.

    >>> table(b"a,b\\n1,x\\n")
    [{'a': '1', 'b': 'x'}]
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the body must be CSV in UTF-8; got {str(error)[:100]}.") from None
    if len(rows) < 2:
        raise UsageError(f"the body must be CSV with a header and rows; got {len(rows)} lines.")
    names = [name.strip() for name in rows[0]]
    for at, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise UsageError(f"a row of CSV must have {len(names)} cells as the header; got {len(row)} in row={at}.")
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def tensors(value: Any) -> Records:
    """Inputs of the Open Inference Protocol v2, one tensor per feature, to records. Raises UsageError."""
    given = value.get("inputs") if isinstance(value, dict) else None
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise UsageError("the body must hold inputs, a list of tensors; got none.")
    found: dict[str, list[Any]] = {}
    for one in given:
        name, shape = one.get("name"), one.get("shape")
        if not isinstance(name, str) or name in found:
            raise UsageError(f"every input must have a name of its own; got name={str(name)[:60]!r}.")
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or not shape:
            raise UsageError(f"every input must state its shape; got shape={str(shape)[:60]} of {name[:60]!r}.")
        cells = list(_flat(one.get("data")))
        if math.prod(shape) != len(cells) or len(cells) != shape[0]:
            raise UsageError(f"an input must hold one value a row, shape [n] or [n, 1]; got shape={shape} and "
                             f"{len(cells)} values of {name[:60]!r}.")
        found[name] = cells
    return columns(found, "inputs")


def _flat(value: Any, depth: int = 0) -> Iterable[Any]:
    if not isinstance(value, list) or depth > 8:
        yield value
        return
    for one in value:
        yield from _flat(one, depth + 1)


async def form(request: Any, media: frozenset[str], names: Sequence[str]) -> Records:
    """A form's fields as one record, or one per file when a media field comes several times. Raises UsageError.

    Fields of `names` come once or as often as the files; of all others the first value is kept.
    """
    from starlette.exceptions import HTTPException

    try:
        given = await request.form(max_files=1000, max_fields=1000)
    except HTTPException as error:
        raise UsageError(f"the body must be a whole form; got {str(error.detail)[:100]}.") from None
    try:
        fields: dict[str, list[Any]] = {}
        for name, value in given.multi_items():
            fields.setdefault(name, []).append(value if isinstance(value, str) else await value.read())
    finally:
        await given.close()
    bare = [name for name, cells in fields.items() if name not in media and any(isinstance(c, bytes) for c in cells)]
    if bare:
        raise UsageError(f"files must go to one of the fields {sorted(media) or 'of images, of which there are none'}; "
                         f"got a file in field={bare[0][:60]!r}.")
    if not fields:
        raise UsageError("a form must hold the fields of a record; got none, see /docs.")
    count = max((len(cells) for name, cells in fields.items() if name in names), default=1)
    if any(len(cells) not in (1, count) for name, cells in fields.items() if name in names):
        raise UsageError("fields of a form must come once or equally often; got different numbers.")
    return [{name: cells[at if len(cells) == count else 0] for name, cells in fields.items()} for at in range(count)]


def limited(rows: Records, most: int) -> Records:
    """The rows, if they are not too many. Raises TooMany."""
    if len(rows) > most:
        raise TooMany(f"a request must hold {most} rows or fewer; got rows={len(rows)}, split it.")
    return rows


class TooMany(DataError):
    """More rows than a request may hold."""
