"""CONFIG: what the operator writes: schema, loading, references to secrets, hot reload."""
