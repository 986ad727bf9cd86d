"""The Trajectories tab."""
