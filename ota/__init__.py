"""The device agent, and the formats that it shares with the build side."""
