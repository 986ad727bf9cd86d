"""The Score tab."""
