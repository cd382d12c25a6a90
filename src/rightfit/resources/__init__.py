"""Chapter 5, what it may cost: the machine and what it allows."""

from rightfit.resources.machine import available_mib, machine, usable_cores, versions

__all__ = ["available_mib", "machine", "usable_cores", "versions"]
