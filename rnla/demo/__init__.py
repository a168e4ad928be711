"""The demo: the main job on sea-surface temperatures, and on a generated matrix larger than the memory allowed."""
