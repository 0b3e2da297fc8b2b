"""Someone else's derivation, judged line by line: ``derive.check`` and ``derive check``."""
