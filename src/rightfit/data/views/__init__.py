"""How drift tests see columns: one file per way of seeing, one SPEC (`View`), found by the registry.

Kinds without a view are not compared: moments move on by themselves, and so do ids.
"""
