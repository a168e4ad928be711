"""Certified randomized linear algebra of Zarr matrices far bigger than memory."""
