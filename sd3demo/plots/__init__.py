"""Data to pictures: each function makes a Chart, which `figure` draws and `csv` writes down."""
