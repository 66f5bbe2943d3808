"""Formats, pure: bytes to values and back. Every length from outside has a stated bound."""
