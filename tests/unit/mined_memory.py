"""Mine a small and a large citation graph, and print as JSON how many KiB of memory this process held at most.

Memory is what the system counts, so that of SQLite is in it. The cache of the database is made small, so that the
large graph does not fit into it; at last it is made large enough to hold that graph.
"""

import json
import sys
from pathlib import Path

from routeret.mining import citations, mine_cocitations

SMALL, LARGE = 8_000, 80_000
LITTLE, AMPLE = 1024, 64 * 1024  # KiB


def most_held():
    """The most memory that this process has held so far, in KiB; what ``getrusage`` gives begins with a parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def mined(listed, n_edges, *, cache):
    """The most memory held by the end of mining a generated graph, whose papers cite three documents in a row."""
    with listed.open("w") as file:
        file.write("citing,cited\n")
        for number in range(n_edges):
            paper = number // 3
            file.write(f"p{paper},d{(paper * 7919 + number % 3) % (n_edges // 10)}\n")
    citations._CACHE_KIB = cache
    report = mine_cocitations(listed, out=listed.with_suffix(f".{cache}.{n_edges}"))
    if (report.edges, report.distinct_edges) != (n_edges, n_edges) or report.pairs < n_edges // 10:
        raise SystemExit(f"found {report.as_dict()}")
    return most_held()


if __name__ == "__main__":
    edges = Path(sys.argv[1]) / "edges.csv"
    held = {"small": mined(edges, SMALL, cache=LITTLE), "large": mined(edges, LARGE, cache=LITTLE)}
    held["with an ample cache"] = mined(edges, LARGE, cache=AMPLE)
    sys.stdout.write(json.dumps(held) + "\n")
