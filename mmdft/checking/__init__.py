"""`mmdft check`: what a run would do with its data, before the run."""
