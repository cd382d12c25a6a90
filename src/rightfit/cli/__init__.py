"""The command line, one file for each command; an error on purpose is one sentence and exit 2.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pkgutil import iter_modules

from rightfit.cli._app import app
from rightfit.errors import RightfitError

__all__ = ["app", "main"]

for _command in sorted(found.name for found in iter_modules(__path__) if not found.name.startswith("_")):
    import_module(f"{__name__}.{_command}")


def main() -> None:
    """The entry point: errors on purpose become one sentence on stderr and their exit code."""
    try:
        app(standalone_mode=False)
    except RightfitError as error:
        print(f"rightfit: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("rightfit: interrupted; what was ready is in the run folder; the same command resumes.", file=sys.stderr)
        raise SystemExit(4) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _usage(error)


def _usage(error: Exception) -> None:
    """Click's own errors are wrong usage; anything else is a fault of ours and keeps its traceback."""
    show = getattr(error, "format_message", None)
    if show is None:
        if type(error).__name__ in ("Exit", "Abort"):
            raise SystemExit(getattr(error, "exit_code", 4)) from None
        raise error
    text = show()
    if text:
        print(f"rightfit: {text} Try rightfit --help.", file=sys.stderr)
    raise SystemExit(2) from None
