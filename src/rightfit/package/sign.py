"""Signed packages: Ed25519 (RFC 8032) over manifest.json, which holds the hash of every other file.

The signature lies in the package as `manifest.sig`, the only file that no manifest lists. Whoever trusts the public
key can tell that the package is, byte for byte, what the holder of the private key signed. A package that rightfit
changes (another rule, a new reference) loses its signature and must be signed again.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from pathlib import Path
from typing import Any

from rightfit.errors import PackageError, Unavailable, UsageError
from rightfit.package import verify


def new_key(path: str | Path) -> tuple[Path, Path]:
    """Write a new private key (PEM, readable by its owner only) and `.pub` beside it; never over an existing file."""
    private, public = Path(path), Path(f"{path}.pub")
    for one in (private, public):
        if one.exists():
            raise UsageError(f"a new key must not replace a file; got path={str(one)!r}, which exists, choose another.")
    if not private.parent.is_dir():
        raise UsageError(f"a key must be written to an existing folder; got path={str(private)!r}, create it first.")
    made = _ed25519().Ed25519PrivateKey.generate()
    serial = _serialization()
    secret = made.private_bytes(serial.Encoding.PEM, serial.PrivateFormat.PKCS8, serial.NoEncryption())
    shared = made.public_key().public_bytes(serial.Encoding.PEM, serial.PublicFormat.SubjectPublicKeyInfo)
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    public.write_bytes(shared)
    return private, public


def sign(package: str | Path, key: str | Path) -> Path:
    """Sign a package folder with a private key; replaces an older signature. Raises PackageError, UsageError."""
    folder = Path(package)
    if not folder.is_dir():
        raise UsageError(f"only a package folder can be signed; got path={str(folder)!r}, sign the folder and zip it "
                         "then with `rightfit zip`.")
    verify.folder(folder)
    made = _private(Path(key))
    found = made.sign((folder / verify.MANIFEST).read_bytes())
    serial = _serialization()
    public = made.public_key().public_bytes(serial.Encoding.Raw, serial.PublicFormat.Raw)
    said = {"algorithm": "ed25519", "public": base64.b64encode(public).decode(),
            "signature": base64.b64encode(found).decode()}
    part = folder / f"{verify.SIGNATURE}.part-{secrets.token_hex(4)}"
    part.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / verify.SIGNATURE)
    return folder / verify.SIGNATURE


def check(package: str | Path, key: str | Path) -> None:
    """Hold a package, folder or zip, against a public key. Raises PackageError: changed, unsigned, another's."""
    public = _public(Path(key))
    from cryptography.exceptions import InvalidSignature

    with verify.opened(Path(package)) as folder:
        path = folder / verify.SIGNATURE
        if not path.is_file():
            raise PackageError(f"a package must be signed; got path={str(package)!r} without {verify.SIGNATURE}, sign "
                               "it with `rightfit sign PACKAGE --key FILE`.")
        said = verify.parse(path.read_bytes(), verify.SIGNATURE, verify.MAX_SIGNATURE)
        try:
            found = base64.b64decode(said["signature"], validate=True)
            named = base64.b64decode(said["public"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise PackageError(f"{verify.SIGNATURE} must hold signature and public in base64; got path="
                               f"{str(package)!r}, it is damaged.") from None
        serial = _serialization()
        mine = public.public_bytes(serial.Encoding.Raw, serial.PublicFormat.Raw)
        if named != mine:
            raise PackageError(f"a package must be signed with the key that is trusted; got path={str(package)!r}, "
                               f"signed with another (public={base64.b64encode(named)[:12].decode()!r}...).")
        try:
            public.verify(found, (folder / verify.MANIFEST).read_bytes())
        except InvalidSignature:
            raise PackageError(f"a package must be as it was signed; got path={str(package)!r} with a manifest that "
                               "was changed after signing, do not load it.") from None


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise Unavailable("signing needs the library cryptography, which is not installed; "
                          "pip install 'rightfit[sign]'.") from None
    return ed25519


def _serialization() -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization


def _private(path: Path) -> Any:
    kind = _ed25519().Ed25519PrivateKey
    return _key(path, kind, "private", lambda raw: _serialization().load_pem_private_key(raw, password=None))


def _public(path: Path) -> Any:
    kind = _ed25519().Ed25519PublicKey
    return _key(path, kind, "public", lambda raw: _serialization().load_pem_public_key(raw))


def _key(path: Path, kind: Any, word: str, parse: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        found = parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"a {word} key must be a readable file; got key={str(path)!r}, {error.strerror}, make one "
                         "with `rightfit sign --new-key FILE`.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, kind):
        raise UsageError(f"a {word} key must be an Ed25519 key in PEM; got key={str(path)!r}, which is none.")
    return found
