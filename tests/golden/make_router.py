"""Write a small router into a folder: how ``router-1`` and ``router-2`` were made, each by the version of its time.

python tests/golden/make_router.py tests/golden/router-2
"""

import sys
from pathlib import Path

import numpy as np

from routeret.routing import LEXICAL_WEIGHTS, STRENGTHS, PilotCorpus, PilotLibrary, RouterSettings, UtilityRouter

CARE, CODE = np.eye(4, dtype=np.float32)[:2]
N_PILOTS = 12


def library() -> PilotLibrary:
    """Two corpora: nurse gains .2 on care and loses .1 on code, coder the other way round."""
    return PilotLibrary(
        "0123456789abcdef",
        (
            corpus("care", CARE, gains={"nurse": 0.2, "coder": -0.1}, home="nurse"),
            corpus("code", CODE, gains={"nurse": -0.1, "coder": 0.2}, home="coder"),
        ),
    )


def corpus(name: str, centre: np.ndarray, *, gains: dict[str, float], home: str) -> PilotCorpus:
    """Pilots around a direction, each with the same gain at every strength; the last is unmeasured."""
    noise = np.random.default_rng(len(name)).normal(scale=0.1, size=(N_PILOTS, len(centre)))
    vectors = (centre + noise) / np.linalg.norm(centre + noise, axis=1, keepdims=True)
    measured = {expert: np.full((N_PILOTS, len(STRENGTHS)), gain, dtype=np.float32) for expert, gain in gains.items()}
    for values in measured.values():
        values[-1] = np.nan
    lexical = np.tile(np.array(LEXICAL_WEIGHTS, dtype=np.float32) / 10, (N_PILOTS, 1))
    lexical[-1] = np.nan
    return PilotCorpus(
        name=name,
        source=f"{name} source",
        texts=tuple(f"{name} {number} für ☃" for number in range(N_PILOTS)),
        vectors=vectors.astype(np.float32),
        gains=measured,
        lexical_gains=lexical,
        home_experts=(home,),
    )


if __name__ == "__main__":
    settings = RouterSettings(temperature=0.02, unknown_strength=0.2)
    UtilityRouter.fit(library(), ["nurse", "coder"], settings=settings).save(Path(sys.argv[1]))
