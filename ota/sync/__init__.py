"""Make a slot match a manifest."""
