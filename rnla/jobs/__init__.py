"""Jobs: run, resume, checkpoints and records."""
