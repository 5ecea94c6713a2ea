"""What administrators may do with the registry: the same for the admin API and the commands."""
