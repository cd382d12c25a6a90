"""Advice before any data: what is known of families and devices, and the rules that say which suits what."""
