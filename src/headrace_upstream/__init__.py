"""A scripted AI provider on a real socket: OpenAI, Azure and Anthropic wire formats, faults on demand."""
