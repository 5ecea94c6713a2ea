"""API GATEWAY: the way of a call, and the policies on it."""
