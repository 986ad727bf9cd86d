"""Two settings against each other, a picture a cell."""
