"""Larger pictures: projected flow, its rivals and what they are made of."""
