"""Whether the person is done, or only pauses."""
