"""The driver: carries out what the engine decides, for one conversation."""
