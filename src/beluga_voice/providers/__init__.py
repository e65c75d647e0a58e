"""The services that hear and speak."""
