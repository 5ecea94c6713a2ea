"""The operator's web pages, on the admin port: rendered here, with small scripts and no build."""
