"""What every Keras family shares: the backend, the training loop, the graph written as ONNX; no plug-ins here."""
