"""The hub of pretrained models: whether it can be reached from here."""

from __future__ import annotations

import os
from functools import cache

SECONDS = 5.0


@cache
def reachable() -> bool:
    """Whether the hub answers, asked once in a process: offline, no family waits for it again.

    HF_HUB_OFFLINE in the environment says no.
    """
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return False
    import urllib.error
    import urllib.request

    try:
        from huggingface_hub import constants

        with urllib.request.urlopen(constants.ENDPOINT, timeout=SECONDS):
            return True
    except (ImportError, OSError, ValueError):
        return False
