"""Numbers on fields, wells, plates and compounds of a job."""
