"""Lumina-Image 2.0, Neta Lumina and NetaYume Lumina, and folders of their shape."""
