"""What the boot loader is told: states and environments."""
