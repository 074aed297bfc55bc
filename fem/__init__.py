"""Explicit dynamics with hexahedra, rigid contact and any material law."""
