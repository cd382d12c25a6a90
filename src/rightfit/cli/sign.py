"""`rightfit sign`: packages that are signed, and checked against a key."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import Text, app


@app.command()
def sign(package: Annotated[Text, typer.Argument(help="A package folder; to verify, also a zip")] = None,
         key: Annotated[Text, typer.Option(help="Private key (Ed25519, PEM): sign the package")] = None,
         verify: Annotated[Text, typer.Option(help="Public key: check the signature")] = None,
         new_key: Annotated[Text, typer.Option(help="Write a new private key here, and FILE.pub")] = None) -> None:
    """Sign a package with Ed25519, or verify its signature."""
    from rightfit.errors import UsageError
    from rightfit.package import sign as signing

    if new_key is not None:
        print("keys: " + ", ".join(map(str, signing.new_key(new_key))))
    if package is None and (key or verify or not new_key):
        raise UsageError("sign needs a package; got none, name a package folder or ask for --new-key FILE.")
    if package is not None and not (key or verify):
        raise UsageError(f"sign needs a key; got package={package!r} alone, add --key FILE or --verify FILE.")
    if package is not None and key is not None:
        print(f"signed: {signing.sign(package, key)}")
    if package is not None and verify is not None:
        signing.check(package, verify)
        print(f"verified: {package}")
