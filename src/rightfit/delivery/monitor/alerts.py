"""Telling somebody: a webhook, or a mail over SMTP."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.errors import UsageError

TIMEOUT_S = 10.0
_KEYS = {"host": str, "port": int, "sender": str, "to": list, "user": str, "password_env": str, "starttls": bool}


def webhook(address: str, found: Mapping[str, Any]) -> str:
    """POST the result as JSON; returns why it failed, or an empty text. Raises UsageError for the address."""
    from urllib.request import Request, urlopen

    if not address.startswith(("http://", "https://")):
        raise UsageError(f"a webhook must be an http or https address; got webhook={address!r}.")
    request = Request(address, json.dumps(found).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            return ""
    except (OSError, ValueError) as error:
        return f"the webhook could not be reached: {error}"


def settings(path: str) -> dict[str, Any]:
    """SMTP settings from TOML: host, port, sender, to = [...], user, password_env, starttls. Raises UsageError."""
    import tomllib

    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"mail settings must be a TOML file; got mail={path!r}: {error}.") from None
    for name, value in found.items():
        if name not in _KEYS or not isinstance(value, _KEYS[name]):
            raise UsageError(f"mail settings are {', '.join(_KEYS)}; got {name}={value!r}.")
    for name in ("host", "sender", "to"):
        if not found.get(name):
            raise UsageError(f"mail settings must hold host, sender and to; got no {name} in mail={path!r}.")
    return found


def mail(given: Mapping[str, Any], subject: str, body: str) -> str:
    """Send one message; returns why it failed, or an empty text. The password comes from the environment."""
    import smtplib
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, given["sender"], ", ".join(given["to"])
    message.set_content(body)
    try:
        with smtplib.SMTP(given["host"], given.get("port", 25), timeout=TIMEOUT_S) as server:
            if given.get("starttls"):
                server.starttls()
            if given.get("user"):
                server.login(given["user"], os.environ.get(given.get("password_env", ""), ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        return f"the mail could not be sent: {error}"
    return ""
