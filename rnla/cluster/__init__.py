"""Cluster: how much memory and how many threads there are."""
