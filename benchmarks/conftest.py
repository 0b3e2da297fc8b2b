"""What `pytest benchmarks` needs before it imports anything that starts threads."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from processor import one_processor  # noqa: E402

one_processor()
