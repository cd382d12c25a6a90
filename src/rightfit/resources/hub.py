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
        import huggingface_hub

        with urllib.request.urlopen(huggingface_hub.constants.ENDPOINT, timeout=SECONDS):
            return True
    except (ImportError, OSError, ValueError):
        return False
