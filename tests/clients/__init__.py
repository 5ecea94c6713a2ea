"""Real SDKs through the real port."""
