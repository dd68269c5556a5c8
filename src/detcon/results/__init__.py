"""What runs leave in their folders: the one place that reads and writes it. Imports no torch."""
