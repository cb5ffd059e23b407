"""The pure workflow core: values in, values out. No clock, no randomness, no I/O, no logging."""
