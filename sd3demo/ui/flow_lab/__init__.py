"""The Flow lab tab."""
