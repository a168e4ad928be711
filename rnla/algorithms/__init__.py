"""Algorithms: short numpy programs over one verb, `A.sweep`."""
