"""Chats between dialects: one neutral form, and what each dialect makes of it."""
