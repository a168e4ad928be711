"""Sweeps: one read of a matrix, many products. The only folder that builds Dask graphs."""
