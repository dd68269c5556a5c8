"""NYU-Depth v2."""
