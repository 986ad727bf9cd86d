"""What will be done, decided before any of it is done. No torch."""
