"""The Extrapolate tab."""
