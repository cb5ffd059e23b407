"""Remote systems without a network: names, mirror, verbs."""
