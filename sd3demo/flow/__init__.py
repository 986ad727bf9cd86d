"""The mathematics of rectified flows: paths, densities, grids, solvers, guidance and projection."""
