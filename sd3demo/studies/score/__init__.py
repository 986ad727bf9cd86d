"""The score on the embedded world, and what it depends on."""
