"""The restic repository format, version 2 (restic doc/design.rst): crypto, chunks, packs, index, trees."""
