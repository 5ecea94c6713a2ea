"""What consumes everything below: demonstration, readiness, evaluation, simulation."""
