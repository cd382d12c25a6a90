"""Tables: files, database queries and frames with one row per example."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rightfit.data import readers
from rightfit.data.modalities._tabular_example import example, hard
from rightfit.data.schema import infer, positions
from rightfit.data.table import Modality, Table
from rightfit.errors import DataError
from rightfit.records import Need

CLASSES = 5000


def claims(source: Any, need: Need) -> bool:
    """Whatever a reader accepts, but no folder."""
    if isinstance(source, str | Path) and "://" not in str(source) and Path(source).expanduser().is_dir():
        return False
    return readers.find(source) is not None


def read(source: Any, need: Need) -> Table:
    """Rows, schema and findings; a target must be learnable. Raises DataError, UsageError, UnknownName."""
    frame, origin = readers.read(source, need)
    targets = positions(list(frame.columns), need.target)
    declared = {name: kind for name, kind in origin.pop("kinds", {}).items() if name in frame.columns}
    schema, findings = infer(frame, dataclasses.replace(need, target=targets or None, kinds={**declared, **need.kinds}))
    for name in targets:
        check_target(frame, schema, name, need)
    if targets and not schema.features:
        raise DataError(f"the data must hold a feature column beside the target; got "
                        f"columns={', '.join(frame.columns)}.")
    return Table(frame=frame, schema=schema, findings=findings, origin=origin)


def check_target(frame: Any, schema: Any, name: str, need: Need) -> None:
    """Raise DataError unless the target has two rows, two values, and no more classes than can be learnt."""
    from rightfit.data.assemble import target_texts

    if len(frame) < 2:
        raise DataError(f"learning needs at least two rows; got rows={len(frame)}, add data.")
    column = schema.column(name)
    values = target_texts(frame[name], column)
    known = values.dropna()
    if not len(known):
        raise DataError(f"the target must hold values; got target={name!r} with all {len(frame)} missing.")
    distinct = known.nunique()
    if distinct == 1:
        raise DataError(f"the target must take at least two values; got target={name!r} with only {known.iloc[0]!r} "
                        f"in {len(known)} "
                        "rows.")
    classifies = need.problem in ("binary", "multiclass", "ordinal") or (
        need.problem is None and column.kind not in ("numeric", "datetime"))
    if classifies and distinct > CLASSES and need.delimiter is None:
        raise DataError(f"a target must have at most {CLASSES} classes; got target={name!r} with {distinct} "
                        f"different values in "
                        f"{len(known)} rows, name another target or group the values.")


SPEC = Modality(name="tabular", claims=claims, read=read, rank=100, preload_long=("torch",), example=example, hard=hard)
