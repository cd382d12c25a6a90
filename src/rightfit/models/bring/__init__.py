"""Models of the user's own, which take part when they are named: scheme:source (docs/bring-your-own.md)."""
