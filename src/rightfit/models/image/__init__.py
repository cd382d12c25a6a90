"""Families for images, one file each."""
