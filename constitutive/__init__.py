"""Material laws: one law a file, one interface (law.py); imports nothing from its siblings."""
