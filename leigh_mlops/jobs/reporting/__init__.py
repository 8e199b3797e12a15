"""Tables, captions and pages of a finished job."""
