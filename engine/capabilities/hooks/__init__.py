"""Webhooks: what was told, by whom it was proven, and what could not be understood."""
