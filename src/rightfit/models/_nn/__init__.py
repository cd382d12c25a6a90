"""What every torch family shares: the training loop, the export, pretrained weights and heads; no plug-ins here."""
