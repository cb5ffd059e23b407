"""The staged rollout (domain section 6): who gets a release when, what stops it, and the way back."""
