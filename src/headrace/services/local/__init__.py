"""Models that run on this machine, each in a process of its own.

The way of a model: `catalogue` finds its files (`pull` fetches them), `process` starts and watches
the worker, `worker` loads it by `llama` (chat) or `embedder` (embeddings) and answers on loopback
(`serving`) by `chat` or `embeddings`; `admission` bounds how many calls wait for it; `service` is
what the gateway calls.
"""
