"""The port of tools: one MCP server that gathers the operator's, in a process of its own."""
