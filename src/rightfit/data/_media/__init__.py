"""What lies behind the references of media columns: files and data URIs, decoded within budgets."""
