"""Predicts the same for every row, and is no baseline."""

from dataclasses import replace

from rightfit.models.tabular import baseline

FAILS = "learns"
SPEC = replace(baseline.SPEC, name="learns_nothing", baseline=False)
