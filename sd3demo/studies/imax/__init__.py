"""The studies of extrapolation."""
