"""Where trials run: `local.Pool` gives each job a process of its own, `inline.Inline` runs it here for debugging."""
