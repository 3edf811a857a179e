"""Serving models over an OpenAI-compatible HTTP interface: one gateway, engines behind it.

The gateway's process imports neither torch nor Transformers nor vLLM; each engine is a process of its own.
"""
