"""Exports, one file for each target: a package as other systems want it, verified before and written whole or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rightfit.errors import UsageError
from rightfit.package import LoadedModel, load, verify, write
from rightfit.records import frozen
from rightfit.registry import plugin


@frozen
class Target:
    """A target's SPEC: `write(model, package, folder)` fills an existing empty folder from a verified package."""

    name: str
    write: Callable[[LoadedModel, Path, Path], None]
    doc: str = ""


def export(path: str | Path, to: str, out: str | Path, *, sign: str | Path | None = None,
           verify_with: str | Path | None = None) -> Path:
    """Write a run's or a package's export to a new folder; its path. Raises UnknownName, UsageError, PackageError.

    `verify_with`: the public key that must have signed the package; `sign`: the private key that signs the package in
    the export, the one at `path` stays as it is.
    """
    from rightfit.package import sign as signing

    target: Target = plugin("rightfit.delivery.export", to, "target")
    source, folder = Path(path), Path(out)
    if (source / "package" / verify.MANIFEST).is_file():
        source = source / "package"
    if folder.exists():
        raise UsageError(f"an export must go to a new folder; got out={str(folder)!r}, which exists.")
    with verify.opened(source) as package, write._beside(folder) as part:
        if verify_with is not None:
            signing.check(package, verify_with)
        target.write(load(package), package, part)
        if sign is not None:
            for held in part.rglob(verify.MANIFEST):
                signing.sign(held.parent, sign)
        write._put(part, folder)
    return folder
