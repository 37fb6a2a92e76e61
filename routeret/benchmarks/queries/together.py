"""Several threads that ask one side at once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any


def ask_together(ask: Callable[[str], object], texts: Sequence[str], *, threads: int) -> dict[str, Any]:
    """The time of all requests, the milliseconds of every one that was answered, and the errors of the others.

    Args:
        ask: answers one request; may raise.
        texts: the requests.
        threads: how many are asked for at once.
    """

    def timed(text: str) -> float:
        start = time.perf_counter()
        ask(text)
        return 1000 * (time.perf_counter() - start)

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        asked = [pool.submit(timed, text) for text in texts]
        wait(asked)
        taken = time.perf_counter() - start
    errors = [repr(one.exception()) for one in asked if one.exception() is not None]
    return {"s": taken, "ms": [one.result() for one in asked if one.exception() is None], "errors": errors}
