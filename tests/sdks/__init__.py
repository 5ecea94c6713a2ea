"""SDKs that want other versions of what Headrace is tested with: each in its own environment."""
