"""The scripted upstream on the raw socket, through SDKs, and as a process."""
