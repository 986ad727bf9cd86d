"""FLUX.1: dev, schnell, Krea dev, and folders of their shape."""
