"""The public functions: what a user of rnla calls. They check, plan, run here or as a job, and wrap the answer."""
