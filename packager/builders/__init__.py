"""One module for each way to make a payload; `packager.types` says which types are made by which."""
