"""Headrace: the production layer between an application and its AI models."""

__version__ = "0.1.0"
