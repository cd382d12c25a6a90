"""Packages: writing (`write.write`), reading (`load`) and measuring (`probe.probe`) the model that is delivered."""

from rightfit.package.read import LoadedModel, load

__all__ = ["LoadedModel", "load"]
