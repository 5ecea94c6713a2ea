"""CLIENT: HTTP in and out, one file per dialect."""
