"""Experiments: settings in, a stream of progress out, a table at the end; they know nothing of the page."""
