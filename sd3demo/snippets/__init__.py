"""A run or a study as code that makes it again: the command line, Python, and a notebook."""
