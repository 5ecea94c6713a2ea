"""The admin API: an ASGI application of Starlette, served by uvicorn in a process of its own.

Nothing else imports this package: workers need neither.
"""
