"""What can go wrong, as one tree.

    RightfitError                 base; `exit_code` is what the command line returns
    ├── UsageError        (2)     a flag, a limit or a name that cannot be used
    │   └── UnknownName   (2)     a metric, family, check ... that does not exist; offers the closest one
    ├── DataError         (2)     the data cannot be used as they are
    ├── Unavailable       (2)     something a model family needs is not here; says how to get it
    ├── PackageError      (2)     a package is damaged, unsafe, or of another version
    ├── Infeasible        (3)     no model meets every limit
    └── Interrupted       (4)     stopped early; the best model so far was delivered

Every message is one sentence: what must hold, what was found as `name=value`, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RightfitError(Exception):
    """Base of all errors that rightfit raises on purpose."""

    exit_code = 1


class UsageError(RightfitError, ValueError):
    """A flag, a limit or an argument that cannot be used."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that does not exist among `known`; the message offers the closest one.

    >>> str(UnknownName("metric", "acuracy", ["accuracy", "f1"]))
    "metric must be one of accuracy, f1; got metric='acuracy', did you mean 'accuracy'?"
    """

    MOST = 60  # names that are listed, beyond which only the closest one helps

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        by_lower = {known.lower(): known for known in names}
        close = [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.4)]
        hint = f", did you mean {close[0]!r}?" if close else "."
        listed = ", ".join(names) if len(names) <= self.MOST else f"{len(names)} names, {names[0]} to {names[-1]}"
        super().__init__(f"{what} must be one of {listed}; got {what}={name!r}{hint}")


class DataError(RightfitError, ValueError):
    """The data cannot be used as they are."""

    exit_code = 2


class Unavailable(RightfitError):
    """What a model family needs, such as pretrained weights, is not here; the message says how to get it."""

    exit_code = 2


class PackageError(RightfitError, ValueError):
    """A package is damaged, unsafe, or of another version."""

    exit_code = 2


class Infeasible(RightfitError):
    """No model meets every limit; `decision` holds the record."""

    exit_code = 3


class Interrupted(RightfitError):
    """The run was stopped early; the best model so far was delivered."""

    exit_code = 4
