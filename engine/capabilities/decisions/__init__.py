"""A policy engine asked beside our own rules; no answer is a deny."""
