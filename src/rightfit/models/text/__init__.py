"""Families that read texts: bags of n-grams under linear models, and networks over token ids."""
