"""A compiled file to a module object."""

from __future__ import annotations

import hashlib
import sys
import threading
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from derive.errors import BuildError

_loaded: dict[tuple[str, str], ModuleType] = {}
_lock = threading.Lock()


def load_extension(path: Path, name: str) -> ModuleType:
    """The module in ``path``, loaded once per process and content.

    Modules of the same name from different folders are different modules: none is entered in
    ``sys.modules``, so a kernel's name can neither hide nor be hidden by anything importable.

    Parameters
    ----------
    path : pathlib.Path
        An extension module, whole: a truncated one can end the process when it is mapped, which
        is why the cache compares every file with its manifest first.
    name : str
        The name it was compiled under.

    Raises
    ------
    BuildError
        If the file is not there or cannot be loaded.
    """
    path = Path(path).resolve()
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        with _lock:
            key = str(path), content
            if key not in _loaded:
                _loaded[key] = _load(path, name)
            return _loaded[key]
    except (ImportError, OSError) as error:
        raise BuildError(
            f"module {name!r}: {path} cannot be loaded; build it again "
            "(`derive cache clear` drops what is kept)",
            f"import {path}",
            str(error),
        ) from error


def _load(path: Path, name: str) -> ModuleType:
    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, str(path)))
    assert spec is not None and spec.loader is not None
    before = sys.modules.get(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # Cython enters the module there by itself if nothing has that name.
    if before is None and sys.modules.get(name) is module:
        del sys.modules[name]
    return module
