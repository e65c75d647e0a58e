"""Every fault, at every moment, on every stage: what the person on the line had of it."""
