"""The Stable Diffusion 3 and I-Max papers as something to run: one core, an app and a command line."""

__version__ = "0.1.0"
