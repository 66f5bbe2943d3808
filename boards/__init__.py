"""Data only: one TOML file per board. `ota.board` reads them."""
