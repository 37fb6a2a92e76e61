"""The steps of a fit that trains a text tower: warm-up, dev scores, and going on after an interruption."""

import glob
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import safetensors_of, write_file
from routeret.errors import ArtifactError, InputError, TrainingDivergedError
from routeret.progress import track
from routeret.training.divergence import FitDivergedError, not_taken
from routeret.types import IntArray

if TYPE_CHECKING:
    import torch

Arrays = dict[str, NDArray[Any]]

_SECONDS_BETWEEN_SAVES = 120.0
_LAST_RATE = 0.1
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a tower is fitted.

    Attributes:
        checkpoints: after how many steps the tower is scored on dev; the last is the last step.
        learning_rate: of AdamW, after the warm-up; it falls linearly to a tenth at the last step.
        warmup: share of the steps in which the learning rate rises from 0.
        weight_decay: of AdamW.
    """

    checkpoints: tuple[int, ...]
    learning_rate: float
    warmup: float = 0.1
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        if not self.checkpoints or list(self.checkpoints) != sorted(set(self.checkpoints)) or self.checkpoints[0] < 1:
            raise InputError(f"checkpoints are {self.checkpoints}, expected rising numbers of steps from 1 on")
        if not self.learning_rate > 0 or not 0 <= self.warmup < 1:
            raise InputError(
                f"learning rate {self.learning_rate} and warm-up {self.warmup}; expected a rate above 0, and a share "
                f"from 0 to below 1"
            )

    @property
    def n_steps(self) -> int:
        """How many steps at most."""
        return self.checkpoints[-1]

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        n_warmup = round(self.warmup * self.n_steps)
        if step < n_warmup:
            return self.learning_rate * (step + 1) / n_warmup
        done = (step - n_warmup) / max(1, self.n_steps - n_warmup)
        return self.learning_rate * (1 - (1 - _LAST_RATE) * done)


@dataclass(frozen=True, slots=True, eq=False)
class DevScore:
    """What a tower is worth on dev after some steps.

    Attributes:
        value: the higher, the better; NaN never counts as better.
        arrays: what it was made from, kept for whoever chooses afterwards.
    """

    value: float
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The outcome of a fit.

    Attributes:
        steps: after which the tower scored best on dev; of equal scores the earlier one.
        weights: the trained weights then, float32 by name.
        scores: by number of steps.
        diverged: what ended the fit before its last step; None where nothing did.
    """

    steps: int
    weights: Arrays
    scores: Mapping[int, DevScore]
    diverged: str | None = None

    @property
    def score(self) -> float:
        """What the tower is worth on dev then."""
        return self.scores[self.steps].value


class FitState:
    """The file from which an interrupted fit goes on, and a finished one gives its result without training again.

    Who trains removes it when the expert is written. The state of an expert that was refused stays for ``force``.
    """

    def __init__(self, file: Path, *, settings: Mapping[str, Any], others: Sequence[Path] = ()) -> None:
        """Name the file.

        Args:
            file: where the state is kept.
            settings: JSON values; everything that decides the result. A state of other settings is not gone on from.
            others: where other fits of the same training are kept; who begins anew has to remove these as well.
        """
        self.file = file
        self.settings = dict(settings)
        self._others = tuple(others)

    @classmethod
    def beside(cls, out: Path, *, settings: Mapping[str, Any]) -> "FitState":
        """The state of the fit whose result goes to a folder; the file stands beside that folder."""
        return cls(out.parent / f".{out.name}.training", settings=settings)

    def read(self) -> tuple[Arrays, dict[str, Any]] | None:
        """The arrays and values that were kept last; None where there are none.

        Raises:
            ArtifactError: the file is damaged, or was written with other settings.
        """
        from safetensors import SafetensorError, safe_open

        if not self.file.exists():
            return None
        try:
            with safe_open(self.file, framework="np") as opened:
                metadata = opened.metadata()
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            values, settings = json.loads(metadata["values"]), metadata["settings"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{self.file} is damaged ({error}); remove it to train from the beginning") from error
        if settings != self._written_settings:
            differing = _difference(settings, self._written_settings)
            files = dict.fromkeys([self.file, *(file for file in self._others if file.exists())])
            raise ArtifactError(
                f"{self.file} belongs to an interrupted or refused training with other settings ({differing}); repeat "
                f"that call to go on with it, or remove {', '.join(map(str, files))} to train from the beginning"
            )
        return arrays, values

    def write(self, arrays: Arrays, values: Mapping[str, Any]) -> None:
        """Keep arrays and JSON values in place of those kept before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"settings": self._written_settings, "values": json.dumps(values)}
        write_file(self.file, safetensors_of(arrays, metadata))

    def remove(self) -> None:
        """Forget what was kept, and what calls of :meth:`write` left behind when they were killed."""
        self.file.unlink(missing_ok=True)
        for left in self.file.parent.glob(f".{glob.escape(self.file.name)}.tmp-*"):
            left.unlink(missing_ok=True)

    @property
    def _written_settings(self) -> str:
        return json.dumps(self.settings, sort_keys=True)


def fit_tower(
    parameters: Mapping[str, "torch.nn.Parameter"],
    loss: Callable[[int], "torch.Tensor"],
    *,
    batch_of: Callable[[int], str],
    judge: Callable[[], DevScore],
    schedule: Schedule,
    seed: int = 0,
    state: FitState | None = None,
    settle: bool = False,
    show_progress: bool = False,
) -> Fitted:
    """Fit parameters step by step and keep the weights that score best on dev.

    A step depends on its number, the seed and the weights alone, so a fit that goes on from its state ends with the
    weights of one that was never interrupted.

    Args:
        parameters: what is trained, by name; they hold the starting values, and the last ones afterwards.
        loss: the loss of a step, counted from 0; a number with a gradient.
        batch_of: words for the batch of a step, for messages.
        judge: scores the tower as it is now; it raises TrainingDivergedError where the tower's vectors are not finite.
        schedule: how long and how fast.
        seed: fixes what chance the loss itself uses (dropout).
        state: where the fit is kept on the way; None keeps nothing.
        settle: where the fit diverges after a checkpoint was scored, give the best one and say in ``diverged`` what
            happened; what becomes of it is for the caller to say. From the state that was kept, what was good is not
            trained again.
        show_progress: draw a progress bar on stderr.

    Raises:
        TrainingDivergedError: a loss, a gradient or a vector of the tower is not finite, and ``settle`` does not ask
            for a checkpoint before it; the state before it is kept.
        FitDivergedError: the same, and there is no checkpoint before it.
        ArtifactError: the state is damaged, or of other settings.
    """
    import torch

    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    run = _Run(parameters, optimizer, state)
    first = run.resume()
    saved_at = time.monotonic()
    steps = track(range(first, schedule.n_steps), description="training", unit="steps", show=show_progress)
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(_step_seed(seed, step))
            value = loss(step)
            value.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.clip_grad_norm_(list(parameters.values()), _LARGEST_GRADIENT)
        if not (torch.isfinite(value) and torch.isfinite(length)):
            run.save(step)
            found = (
                f"the loss of step {step} is {value.item()}, its gradient has length {length.item()}, expected finite "
                f"numbers; the batch is {batch_of(step)}"
            )
            return run.settled(found, settle=settle)
        optimizer.step()
        if step + 1 in schedule.checkpoints:
            try:
                run.judged(step + 1, judge())
            except TrainingDivergedError as error:
                return run.settled(f"after step {step} {error}; the batch is {batch_of(step)}", settle=settle)
        if step + 1 in schedule.checkpoints or time.monotonic() - saved_at > _SECONDS_BETWEEN_SAVES:
            run.save(step + 1)
            saved_at = time.monotonic()
    return run.fitted()


class Batches:
    """Which rows make the batch of a step: every row comes once before one comes twice."""

    def __init__(self, n_rows: int, n_batch: int, *, seed: int) -> None:
        """Keep the sizes; a batch has at most ``n_rows`` rows."""
        self._n_rows = n_rows
        self._n_batch = min(n_batch, n_rows)
        self._seed = seed

    def rows(self, step: int) -> IntArray:
        """The rows of a step, counted from 0; they depend on the seed and the step alone."""
        start, rows = step * self._n_batch, np.zeros(0, dtype=np.int64)
        while len(rows) < self._n_batch:
            epoch, offset = divmod(start + len(rows), self._n_rows)
            order = np.random.default_rng([self._seed, epoch]).permutation(self._n_rows)
            rows = np.concatenate([rows, order[offset : offset + self._n_batch - len(rows)]])
        return rows


class _Run:
    """Weights, optimiser and dev scores of a fit, on their way to and from its state."""

    def __init__(
        self,
        parameters: Mapping[str, "torch.nn.Parameter"],
        optimizer: "torch.optim.Optimizer",
        state: FitState | None,
    ) -> None:
        self._parameters = parameters
        self._optimizer = optimizer
        self._state = state
        self._scores: dict[int, DevScore] = {}
        self._best: tuple[int, Arrays] | None = None

    def judged(self, steps: int, score: DevScore) -> None:
        """Take a score of the weights as they are now."""
        best = math.nan if self._best is None else self._scores[self._best[0]].value
        is_best = score.value > best or math.isnan(best)
        self._scores[steps] = score
        if is_best:
            self._best = (steps, _copies(self._parameters))

    def fitted(self, *, diverged: str | None = None) -> Fitted:
        if self._best is None:
            raise InputError("the fit was never scored on dev; expected at least one checkpoint")
        return Fitted(steps=self._best[0], weights=self._best[1], scores=dict(self._scores), diverged=diverged)

    def settled(self, found: str, *, settle: bool) -> Fitted:
        """The best checkpoint of a fit that diverged, where that is asked for; says what was found.

        Raises:
            TrainingDivergedError: it is not asked for.
            FitDivergedError: there is no checkpoint.
        """
        kept = [] if self._state is None else [self._state.file]
        if self._best is None:
            raise FitDivergedError(found, kept=kept)
        fitted = self.fitted(diverged=found)
        if not settle:
            raise not_taken(found, steps=fitted.steps, score=fitted.score, kept=kept)
        return fitted

    def save(self, step: int) -> None:
        """Keep everything that the steps from this one on depend on."""
        if self._state is None:
            return
        arrays = {f"now/{name}": array for name, array in _copies(self._parameters).items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                arrays[f"optimizer/{key}/{name}"] = value.detach().float().cpu().numpy()
        for steps, score in self._scores.items():
            arrays |= {f"score/{steps}/{key}": array for key, array in score.arrays.items()}
        if self._best is not None:
            arrays |= {f"best/{name}": array for name, array in self._best[1].items()}
        values = {
            "step": step,
            "scores": {str(steps): score.value for steps, score in self._scores.items()},
            "best": None if self._best is None else self._best[0],
        }
        self._state.write(arrays, values)

    def resume(self) -> int:
        """Take up what was kept; gives the next step."""
        import torch

        kept = None if self._state is None else self._state.read()
        if kept is None:
            return 0
        arrays, values = kept
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.from_numpy(arrays[f"now/{name}"]))
        for name, parameter in self._parameters.items():
            entries = {key: arrays.get(f"optimizer/{key}/{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            for key, entry in entries.items():
                if entry is not None:
                    # The count of steps stays on the processor, the moments lie beside their parameter.
                    place = torch.device("cpu") if key == "step" else parameter.device
                    self._optimizer.state[parameter][key] = torch.from_numpy(entry).to(place)
        for steps, value in values["scores"].items():
            prefix = f"score/{steps}/"
            found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            self._scores[int(steps)] = DevScore(float(value), found)
        if values["best"] is not None:
            self._best = (values["best"], {name: arrays[f"best/{name}"] for name in self._parameters})
        return int(values["step"])


def _copies(parameters: Mapping[str, "torch.nn.Parameter"]) -> Arrays:
    return {name: parameter.detach().float().cpu().numpy().copy() for name, parameter in parameters.items()}


def _step_seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:7])


def _difference(found: str, expected: str) -> str:
    ours, theirs = json.loads(found), json.loads(expected)
    names: Sequence[str] = sorted({*ours, *theirs})
    return ", ".join(
        f"{name}: {ours.get(name)!r}, now {theirs.get(name)!r}" for name in names if ours.get(name) != theirs.get(name)
    )
