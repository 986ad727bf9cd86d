"""Studies on the page."""
