"""Where bytes come from and go to: slots, files, HTTP, streams."""
