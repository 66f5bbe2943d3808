"""Native code, reached through cffi in API mode; each module wraps one library."""
