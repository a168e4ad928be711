"""Arithmetic on one block: numpy and scipy, nothing of storage or clusters."""
