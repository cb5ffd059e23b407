"""The human-in-the-loop correction loop: from an intervention to the measured effect of what was learnt from it."""
