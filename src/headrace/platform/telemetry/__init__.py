"""How telemetry leaves the process: bounded queues, threads, exporters."""
