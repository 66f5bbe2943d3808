"""What the agent does at boot, and what ends a trial boot."""
