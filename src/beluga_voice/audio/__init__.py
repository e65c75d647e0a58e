"""Sound as data."""
