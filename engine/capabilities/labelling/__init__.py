"""Labelling systems: label tasks go there and people's answers come back."""
