"""Settings as controls and as links."""
