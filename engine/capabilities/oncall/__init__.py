"""On call: duty, handovers, watch lists, who has an alert."""
