"""Training of the embedded model, part by part, on one CUDA device or on CPU cores with the same code."""
