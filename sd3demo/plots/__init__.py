"""Charts of data: each function returns a Chart, which `figure` draws and `csv` exports."""
