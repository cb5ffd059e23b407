"""Palettes, signs, and a person's own themes."""
