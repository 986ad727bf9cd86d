"""The twenty claims of the two papers, beside what the recorded studies measured of each."""
