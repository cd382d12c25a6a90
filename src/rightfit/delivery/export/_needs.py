"""What a package needs where it is served: distributions in the versions it was measured with, and rightfit itself."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import re
import zipfile
from pathlib import Path

from rightfit.package import LoadedModel

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)")
COMMAND = ("typer",)  # of rightfit's own requirements, what the command line takes to start


def pinned(line: str) -> str:
    """A requirement as the version that is installed here; as it stands where none is.

    >>> pinned("no-such-distribution>=1.0; extra == 'serve'")
    'no-such-distribution>=1.0'
    """
    plain = line.partition(";")[0].strip()
    name = _name(plain)
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return plain


def model(loaded: LoadedModel) -> list[str]:
    """The distributions that predict, in the versions the package was written with."""
    return [f"{name}=={version}" if version else name for name, version in loaded.info["requires"].items()]


def serving(loaded: LoadedModel) -> list[str]:
    """The distributions that serve a package, pinned: nothing that trains."""
    own = importlib.metadata.requires("rightfit") or []
    wanted = [line for line in own if re.search(r"extra\s*==\s*['\"]serve['\"]", line)
              or ("extra" not in line and _name(line) in COMMAND)]
    found = {_name(line).lower(): line for line in [*map(pinned, wanted), *model(loaded)]}
    return [found[name] for name in sorted(found)]


def _name(line: str) -> str:
    found = _REQUIREMENT.match(line.strip())
    return found[0] if found else line


def wheel(folder: Path) -> Path:
    """The rightfit that runs here as a wheel in a folder, byte for byte the code that measured."""
    home = Path(__file__).parents[2]
    about = importlib.metadata.distribution("rightfit")
    base = f"rightfit-{about.version}"
    files = {f"rightfit/{path.relative_to(home).as_posix()}": path.read_bytes() for path in sorted(home.rglob("*"))
             if path.is_file() and "__pycache__" not in path.parts}
    files[f"{base}.dist-info/METADATA"] = (about.read_text("METADATA") or "").encode()
    files[f"{base}.dist-info/entry_points.txt"] = (about.read_text("entry_points.txt") or "").encode()
    files[f"{base}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: rightfit\nRoot-Is-Purelib: true\n" \
                                       b"Tag: py3-none-any\n"
    record = io.StringIO(newline="")
    lines = csv.writer(record, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.writerow([name, f"sha256={digest}", len(content)])
    lines.writerow([f"{base}.dist-info/RECORD", "", ""])
    files[f"{base}.dist-info/RECORD"] = record.getvalue().encode()
    path = folder / f"{base}-py3-none-any.whl"
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr, info.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path
