"""Who may say what is installed: signatures over the sw-description."""
