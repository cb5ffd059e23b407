"""Model registries: what we release is registered there, and what appears there is noticed."""
