"""From a fitted model to a package: written beside, proven equal to the model in memory, then put in place."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry, resources
from rightfit.errors import PackageError
from rightfit.package import verify
from rightfit.package.read import RUNTIMES, LoadedModel, load
from rightfit.records import Candidate, Model, Rule, Schema, Task, asdict

SAMPLE = 64
TOLERANCE = 1e-4
COARSEST = 0.02  # what a model may ask for whose 8-bit steps make rounding errors of its arithmetic visible
_CWD, _EXCHANGE = -100, 2


def _plain(value: Any) -> Any:
    """One cell as a JSON value that reads back as the same cell."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        value = str(value) if isinstance(value, np.datetime64) else value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if value != value else value if np.isfinite(value) else str(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _records(sample: Any, schema: Schema) -> list[dict[str, Any]]:
    rows = sample if isinstance(sample, Sequence) else sample.to_dict("records")
    if not rows:
        raise PackageError("a package must hold at least one sample row to prove itself on; got sample of 0 rows.")
    some = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int))
    names = [column.name for column in schema.features]
    return [{name: _plain(rows[i].get(name)) for name in names} for i in some]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, default=_plain) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_manifest(folder: Path) -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    hashed = {name: verify.digest(folder / name) for name in names
              if name not in (verify.MANIFEST, verify.SIGNATURE)}
    files = {verify.canonical(name): {"sha256": found[0], "bytes": found[1]} for name, found in hashed.items()}
    _write_json(folder / verify.MANIFEST, {"files": files})


def _difference(expected: Any, got: Any) -> float:
    if expected.shape != got.shape or not (np.isfinite(expected) == np.isfinite(got)).all():
        return float("inf")
    finite = np.isfinite(expected)
    return float(np.abs(expected - got)[finite].max(initial=0.0))


def parity(expected: Any, loaded: LoadedModel, task: Task, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """How far the package's frame, list and one-row paths are from the model in memory on the sample's rows.

    expected: (n, k) or (n,). `max_abs` is held against tolerance x scale, the scale being 1 for probabilities and the
    largest absolute prediction otherwise. Raises PackageError above it: a package that differs is never delivered.
    """
    import pandas as pd

    expected = np.asarray(expected, np.float64).reshape(len(loaded.sample), -1)
    frame = pd.DataFrame(loaded.sample, dtype=object)
    paths = {"frame": loaded.raw(frame), "records": loaded.raw(loaded.sample),
             "row": np.concatenate([loaded.raw(record) for record in loaded.sample])}
    found = {name: _difference(expected, values) for name, values in paths.items()}
    finite = np.abs(expected[np.isfinite(expected)])
    scale = 1.0 if task.classifies else float(finite.max(initial=0.0)) or 1.0
    worst = max(found, key=lambda name: found[name])
    if found[worst] > tolerance * scale:
        raise PackageError(f"a package must predict what its model predicts, within {tolerance * scale:.3g}; got "
                           f"difference={found[worst]:.3g} on the {worst} path, the conversion is not exact.")
    return {"max_abs": found[worst], "tolerance": tolerance, "scale": scale, "rows": len(expected), "paths": found}


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step (Linux renameat2); False where the system or file system cannot."""
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return renameat2 is not None and renameat2(_CWD, os.fsencode(one), _CWD, os.fsencode(other), _EXCHANGE) == 0


def _put(part: Path, folder: Path) -> None:
    """Rename into place, so that a crash leaves the old package or the new one (elsewhere: the old one as `.old`)."""
    if not folder.exists():
        part.rename(folder)
    elif not _exchange(part.absolute(), folder.absolute()):
        old = folder.with_name(f".{folder.name}.old-{secrets.token_hex(4)}")
        folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old)
    _sync(folder.parent)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A fresh folder beside the target, gone afterwards whatever happens."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.part-{secrets.token_hex(4)}")
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _requires(meta: Mapping[str, Any]) -> dict[str, str]:
    installed = resources.versions()
    names = registry.plugin(RUNTIMES, str(meta["runtime"]), "runtime").requires(meta)
    return {name: installed.get(name) or installed.get(f"{name}-cpu", "") for name in names}


def write(model: Model, folder: str | Path, *, task: Task, schema: Schema, rule: Rule, candidate: Candidate,
          sample: Any, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write a fitted model as a package folder, replacing the one there; returns package.json's content.

    sample: raw rows as users send them, a frame or a list of records; at most 64, evenly spaced, are kept for proving
    parity, warming up and measuring. extra: further JSON files {name: value}, such as {"notes.json": ...}. The package
    is loaded and compared with the model before it is put in place. Raises PackageError when they differ.
    """
    import pandas as pd

    from rightfit.data.schema import coerce

    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise PackageError(f"a package must be written to a folder; got path={str(folder)!r}, which is something else.")
    records = _records(sample, schema)
    with _beside(folder) as part:
        meta = model.save(part)
        info = {"format": verify.FORMAT, "rightfit": resources.versions().get("rightfit", ""), "task": asdict(task),
                "created": datetime.now(UTC).isoformat(timespec="seconds"), "candidate": asdict(candidate),
                "rule": asdict(rule), "runtime": meta, "requires": _requires(meta), "parity": {}}
        _write_json(part / "schema.json", asdict(schema))
        _write_json(part / "sample.json", records)
        for name, value in (extra or {}).items():
            _write_json(part / verify.canonical(name), value)
        _write_json(part / "package.json", info)
        _write_manifest(part)
        expected = model.predict(coerce(pd.DataFrame(records, dtype=object), schema))
        tolerance = min(float(meta.get("tolerance", TOLERANCE)), COARSEST)
        info["parity"] = parity(expected, load(part), task, tolerance)
        _write_json(part / "package.json", info)
        _write_manifest(part)
        for path in sorted(part.rglob("*")):
            _sync(path)
        _sync(part)
        _put(part, folder)
    return info


def restamp(folder: str | Path, *, rule: Rule) -> None:
    """Give a package another decision rule; the model's files stay as they are. Raises PackageError."""
    amend(folder, {"package.json": {**load(folder).info, "rule": asdict(rule)}})


def amend(folder: str | Path, files: Mapping[str, Any]) -> None:
    """Add or replace JSON files {name: value} of a package, which stays whole meanwhile. Raises PackageError."""
    folder = Path(folder)
    load(folder)
    with _beside(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        for name, value in files.items():
            path = part / verify.canonical(name)
            if name == "package.json":
                _write_json(path, value)
            else:
                path.write_bytes(dense(value))
        _write_manifest(part)
        (part / verify.SIGNATURE).unlink(missing_ok=True)  # it no longer fits
        load(part)
        _put(part, folder)


def dense(value: Any) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def install(source: str | Path, folder: str | Path) -> None:
    """Copy a package folder to where users look for it; at any moment the old or the new one stands there."""
    with _beside(Path(folder)) as part:
        shutil.copytree(source, part, dirs_exist_ok=True)
        _put(part, Path(folder))


def zip_package(folder: str | Path, path: str | Path) -> Path:
    """A verified package folder as one zip file; the same content gives the same bytes. Raises PackageError."""
    folder, path = Path(folder), Path(path)
    verify.folder(folder)
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name in sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()):
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.external_attr, info.compress_type, info.create_system = 0o100644 << 16, zipfile.ZIP_DEFLATED, 3
                with (folder / name).open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 2**20)
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
