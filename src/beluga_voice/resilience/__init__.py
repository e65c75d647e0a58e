"""What keeps a service usable that is not always there."""
