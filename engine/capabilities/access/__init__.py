"""Access and compliance: typed requests, rules with a trace, grants whose end is inside the credential."""
