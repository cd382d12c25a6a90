"""Two-sample tests of a window against the reference: one file, one SPEC (`DriftTest`), found by the registry."""
