"""What is measured and told of calls, for people and their tools: metrics, traces, log lines."""
