"""Stable Diffusion 3 and I-Max, the papers, as something to run: one inference core, an app and a command line."""

__version__ = "0.1.0"
