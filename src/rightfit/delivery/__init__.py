"""After the decision: the package that is accepted, and predicting with it."""
