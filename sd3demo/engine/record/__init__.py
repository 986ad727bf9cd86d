"""What is recorded on the way of a run."""
