"""Pictures of any tab, pinned and compared: side by side, under a slider, and as a map of what differs."""
