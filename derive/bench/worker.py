"""The cases of one process, pinned to its cores: ``python -m derive.bench.worker``.

One JSON job on standard input; on standard output one JSON line for each thing done, so that
what was measured is kept when the process is stopped or dies.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

from derive.bench.pinning import pin


def main() -> None:
    """Do a job."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get into the answers
    job = json.loads(sys.stdin.read())
    pin(job["threads"])  # before NumPy, JAX and PyTorch start their threads
    warnings.simplefilter("ignore")  # of peers, about what they are made to do

    def say(what: dict[str, Any]) -> None:
        print(json.dumps(what, ensure_ascii=False), file=answers, flush=True)

    if job["cases"] is None:
        from derive.bench.ceilings import ceilings

        say(ceilings(job["threads"]))
        return
    from derive.bench.case import Case
    from derive.bench.comparing import compare
    from derive.errors import DeriveError

    for fields in job["cases"]:
        case = Case(**fields)
        try:
            say(compare(case, job["threads"], job["against"], job["quick"]))
        except DeriveError as error:
            say({"key": case.key, "threads": job["threads"], "failed": str(error)})


if __name__ == "__main__":
    main()
