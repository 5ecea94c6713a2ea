"""PLATFORM: HTTP/1.1 in and out, secrets, clock, telemetry."""
