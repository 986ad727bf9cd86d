"""Lengths, angles and the geometry of a path."""
