"""Write a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Put ``content`` where ``path`` says in one step: readers see the old file or the new one.

    Raises
    ------
    OSError
        The file is then as it was, and nothing is left beside it.
    """
    data = content.encode() if isinstance(content, str) else content
    # Opened by hand, not by tempfile: the user's umask is to decide who may read it.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
