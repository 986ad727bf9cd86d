"""The Densities tab."""
