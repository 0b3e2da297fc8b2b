"""Run under valgrind by instructions.py: call compiled modules, each call in the order given.

It imports NumPy and nothing of derive, so that what runs fifty times slower is little.
"""

from __future__ import annotations

import json
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np


def main(listed: str) -> None:
    """``listed`` is a JSON file: for each call the module, the function and its arrays' file."""
    for call in json.loads(Path(listed).read_text(encoding="utf-8")):
        loader = ExtensionFileLoader(call["name"], call["module"])
        spec = spec_from_file_location(call["name"], call["module"], loader=loader)
        module = module_from_spec(spec)
        loader.exec_module(module)
        arrays = np.load(call["arrays"])
        given = [arrays[key] for key in sorted(arrays.files)]
        if call["function"] == "step":
            state = np.zeros(module.STATE)
            module.start(state, np.zeros(call["states"]))
            module.step(state, 1, *given, None)
        else:
            module.gradient(*given)


if __name__ == "__main__":
    main(sys.argv[1])
