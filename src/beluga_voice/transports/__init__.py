"""Bytes to and from services."""
