"""What every tab needs to show a run."""
