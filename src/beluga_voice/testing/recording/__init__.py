"""Recorded calls: read, replayed through a session, judged, and made into tests."""
