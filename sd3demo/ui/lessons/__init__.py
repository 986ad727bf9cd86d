"""Lessons that set the whole page, ask for a prediction, run, and reveal."""
