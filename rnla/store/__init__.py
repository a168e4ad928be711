"""Stores: matrices read strictly from Zarr, fingerprints, panels, and results written aside and published."""
