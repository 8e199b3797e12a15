"""Pages of a batch job."""
