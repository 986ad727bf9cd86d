"""Lumina-Next: the SFT checkpoint, and folders of its shape."""
