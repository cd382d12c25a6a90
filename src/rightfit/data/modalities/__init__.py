"""Modalities: one file each, one SPEC `rightfit.data.table.Modality` each."""
