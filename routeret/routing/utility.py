"""The router that predicts what every expert gains on a query, and mixes them by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import (
    naming_damage,
    new_folder,
    read_manifest,
    safetensors_of,
    write_file,
    write_manifest,
)
from routeret.errors import InputError, UnknownExpertError
from routeret.routing.calibration import Calibration
from routeret.routing.corpus_guess import CorpusGuess
from routeret.routing.decisions import RoutingBatch
from routeret.routing.gain_table import GainTable
from routeret.routing.likeness import CorpusLikeness
from routeret.routing.mixing import mixed
from routeret.routing.pilots import LEXICAL_WEIGHTS, PilotLibrary
from routeret.routing.prospects import Prospects
from routeret.routing.restraint import Restraint
from routeret.routing.router_arrays import require_arrays
from routeret.routing.settings import RouterSettings
from routeret.routing.standing import CorpusStanding
from routeret.routing.stored_pilots import StoredPilots, read, save_pilots
from routeret.routing.training_corpus import NO_OWNER, TrainingCorpus, breadths_of, owners_of
from routeret.types import FloatArray, IntArray, QueryBatch

KIND = "router"
FORMAT = 2
OLDEST_FORMAT = 1

_ARRAYS = "router.safetensors"
_PILOTS = "pilots"
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, eq=False)
class UtilityRouter:
    """Two steps: the training corpus given the query, times the mean gain of every expert on every corpus.

    Which expert is best on a single query is too jittery to learn from; what an expert gains on the mean of a corpus
    is not (as Composition of Experts, arXiv 2412.01868, found for language models). So the predicted gain of expert e
    at strength s on query q is ``sum over corpora c of P(c | q) * gain[c, e, s]``. The weights are the softmax of
    predicted gains over a temperature, with the base at gain 0; what is not expected to gain gets no weight.

    An expert is bound to the documents that it was trained over. Where the base's first hits are not among them, its
    predicted gain is damped by how unlike the query is to the pilots, and its strength is capped.

    A decision needs a summary of the pilots only; the pilots themselves are read when they are asked for.

    Attributes:
        pilots: what it was fitted on, in memory or in its folder.
        corpora: the training corpora.
        expert_names: the pool, in the order of its columns.
        settings: how it weighs.
        guess: from query to training corpus.
        likeness: how like a query is to a corpus at all.
        table: what every expert gains on every corpus.
        lexical_weights: float32, shape (n_corpora,); the lexical weight that did best on each corpus.
        calibration: how far a predicted gain is to be believed.
    """

    pilots: PilotLibrary | StoredPilots
    corpora: tuple[TrainingCorpus, ...]
    expert_names: tuple[str, ...]
    settings: RouterSettings
    guess: CorpusGuess
    likeness: CorpusLikeness
    table: GainTable
    lexical_weights: FloatArray
    calibration: Calibration

    @classmethod
    def fit(
        cls, library: PilotLibrary, experts: Sequence[str], *, settings: RouterSettings | None = None
    ) -> "UtilityRouter":
        """Learn from pilots; seconds.

        Args:
            library: pilots with the gains of the experts; an expert without a gain on a corpus gets no weight there.
            experts: the pool.
            settings: the defaults where None.

        Raises:
            InputError: an expert comes twice.
        """
        from routeret.routing.leave_corpus_out import examples

        if len(set(experts)) != len(experts):
            raise InputError(f"experts {list(experts)} name one twice; name each once")
        settings = settings or RouterSettings()
        vectors = [corpus.vectors for corpus in library.corpora]
        guess = CorpusGuess.fit(vectors, regularisation=settings.regularisation)
        likeness = CorpusLikeness.fit(vectors)
        table = GainTable.fit(library, experts, shrinkage=settings.shrinkage)
        found = examples(library, experts, guess=guess, likeness=likeness, table=table, shrinkage=settings.shrinkage)
        return cls(
            pilots=library,
            corpora=tuple(TrainingCorpus.of(corpus) for corpus in library.corpora),
            expert_names=tuple(experts),
            settings=settings,
            guess=guess,
            likeness=likeness,
            table=table,
            lexical_weights=_lexical_weights(library, settings),
            calibration=Calibration.fit(found),
        )

    @property
    def library(self) -> PilotLibrary:
        """The pilots it was fitted on."""
        return read(self.pilots)

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: float32, shape (n_queries, n_experts); share of the base's first hits that each expert knows.
        """
        if known.shape != (len(queries), len(self.expert_names)):
            raise InputError(
                f"known has shape {known.shape}, expected ({len(queries)}, {len(self.expert_names)}): "
                "a row a query, a column an expert"
            )
        trust = np.minimum(known / self.settings.known_share, 1.0)
        guessed = self.guess.probabilities(queries.base)
        probabilities = self._with_evidence(guessed, trust)
        alike = probabilities * self.likeness.of(queries.base)
        gains = self.table.expected(alike)
        gains += trust[:, :, None] * (self.table.expected(probabilities) - gains)
        weights, wanted = mixed(gains, temperature=self.settings.temperature)
        cap = self.settings.unknown_strength + (1 - self.settings.unknown_strength) * trust
        strengths = np.minimum(wanted, cap).astype(np.float32)
        known_best = trust.max(axis=1, initial=0.0)
        return RoutingBatch(
            experts=self.expert_names,
            weights=weights,
            strengths=strengths,
            lexical=self._lexical(probabilities, known_best),
            gains=gains.max(axis=2, initial=-np.inf).astype(np.float32),
            corpora=self._corpus_names,
            corpus_probabilities=probabilities,
            known=known,
            adaptation=(self.settings.index_strength * (1 - known_best)).astype(np.float32),
            standing=self._standing(guessed),
            prospects=Prospects(gains, probabilities, trust, self.table, self.calibration),
            restraint=Restraint(weights[:, 1:], wanted, strengths) if self.expert_names else None,
        )

    def known_index(self, corpus: str, *, n_queries: int) -> RoutingBatch | None:
        """The constant mixture from a corpus's own row of the gain table, for indexes known to hold that corpus.

        Args:
            corpus: name of a training corpus.
            n_queries: for how many queries.

        Returns:
            None where the corpus has no row.
        """
        names = self._corpus_names
        if corpus not in names:
            return None
        weights, strengths = mixed(self.table.means[[names.index(corpus)]], temperature=self.settings.temperature)
        constant = RoutingBatch.constant(self.expert_names, n_queries, weights={}, strengths={})
        return replace(constant, weights=np.tile(weights, (n_queries, 1)), strengths=np.tile(strengths, (n_queries, 1)))

    def restricted_to(self, experts: Sequence[str]) -> "UtilityRouter":
        """The router as if its pool held only some of the experts; nothing is fitted again.

        Args:
            experts: of its pool, in any order; none leaves base and lexical score.

        Raises:
            UnknownExpertError: it was not fitted for one of them.
        """
        unknown = [name for name in experts if name not in self.expert_names]
        if unknown:
            raise UnknownExpertError(f"unknown expert {unknown[0]!r}; there are {', '.join(self.expert_names)}")
        columns = [column for column, name in enumerate(self.expert_names) if name in experts]
        names = tuple(self.expert_names[column] for column in columns)
        return replace(self, expert_names=names, table=self.table.of_experts(columns))

    def save(self, folder: Path | str) -> None:
        """Write the router and its pilots as a new folder of plain JSON and safetensors."""
        arrays: dict[str, NDArray[Any]] = {
            "coefficients": self.guess.coefficients,
            "intercepts": self.guess.intercepts,
            "exemplars": self.likeness.exemplars,
            "exemplar_starts": self.likeness.starts,
            "floors": self.likeness.floors,
            "ceilings": self.likeness.ceilings,
            "gains": self.table.means,
            "gain_errors": self.table.errors,
            "gaining_rates": self.table.rates,
            "lexical_weights": self.lexical_weights,
            "help_coefficients": self.calibration.coefficients,
            "unknown_errors": self.calibration.unknown_errors,
        }
        with new_folder(Path(folder)) as temporary:
            write_file(temporary / _ARRAYS, safetensors_of(arrays))
            save_pilots(self.library, temporary / _PILOTS)
            write_manifest(
                temporary,
                kind=KIND,
                format_number=FORMAT,
                fields={
                    "experts": list(self.expert_names),
                    "settings": self.settings.as_dict(),
                    "corpora": [corpus.as_dict() for corpus in self.corpora],
                    "help_intercept": self.calibration.intercept,
                },
            )

    @classmethod
    def load(cls, folder: Path | str) -> "UtilityRouter":
        """The router that :meth:`save` wrote; one of format 1 is fitted again to its pilots.

        Raises:
            ArtifactError: the folder is damaged, or of another kind or format.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, oldest=OLDEST_FORMAT)
        with naming_damage(folder):
            experts, settings = tuple(manifest["experts"]), RouterSettings(**manifest["settings"])
        pilots = StoredPilots(folder / _PILOTS)
        if manifest["format"] == OLDEST_FORMAT:
            return cls.fit(pilots.library, experts, settings=settings)
        with naming_damage(folder):
            arrays = load_file(folder / _ARRAYS)
            require_arrays(arrays, n_corpora=len(manifest["corpora"]), n_experts=len(experts))
            return cls._of_saved(manifest, arrays, pilots=pilots, settings=settings)

    @classmethod
    def _of_saved(
        cls,
        manifest: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        *,
        pilots: StoredPilots,
        settings: RouterSettings,
    ) -> "UtilityRouter":
        return cls(
            pilots=pilots,
            corpora=tuple(TrainingCorpus.from_dict(fields) for fields in manifest["corpora"]),
            expert_names=tuple(manifest["experts"]),
            settings=settings,
            guess=CorpusGuess(arrays["coefficients"], arrays["intercepts"]),
            likeness=CorpusLikeness(
                arrays["exemplars"], arrays["exemplar_starts"], arrays["floors"], arrays["ceilings"]
            ),
            table=GainTable(arrays["gains"], arrays["gain_errors"], arrays["gaining_rates"]),
            lexical_weights=arrays["lexical_weights"],
            calibration=Calibration(arrays["help_coefficients"], manifest["help_intercept"], arrays["unknown_errors"]),
        )

    @cached_property
    def _corpus_names(self) -> tuple[str, ...]:
        return tuple(corpus.name for corpus in self.corpora)

    @cached_property
    def _owners(self) -> IntArray:
        """The column of every corpus's own expert; -1 where there is none."""
        return owners_of(self.corpora, self.expert_names)

    @cached_property
    def _owning(self) -> FloatArray:
        """Which expert owns which corpus, 0 or 1, float32, shape (n_experts, n_corpora)."""
        owning: FloatArray = (np.arange(len(self.expert_names))[:, None] == self._owners).astype(np.float32)
        return owning

    @cached_property
    def _standing_owners(self) -> IntArray:
        """The owners of the corpora that documents stand in: all but the index's own.

        Documents in that one would all be lowered beside a training corpus.
        """
        is_index = np.array([corpus.is_index for corpus in self.corpora], dtype=np.bool_)
        return np.where(is_index, NO_OWNER, self._owners)

    @cached_property
    def _breadths(self) -> IntArray:
        """On how many corpora every expert was trained."""
        return breadths_of(self.corpora, self.expert_names)

    def _standing(self, guessed: FloatArray) -> CorpusStanding | None:
        """What the corpora count by how like them the query is, whatever the first hits are."""
        if self.settings.corpus_penalty == 0 or not self._owning.any():
            return None
        return CorpusStanding(self._standing_owners, self._breadths, self.settings.corpus_penalty * guessed)

    def _with_evidence(self, guessed: FloatArray, trust: FloatArray) -> FloatArray:
        """Probability of every corpus given the query and whose documents the base's first hits are.

        A corpus whose own expert knows the first hits keeps its probability; one whose expert knows none of them
        keeps a small part. Where no expert knows any, the query alone decides.
        """
        probabilities = guessed * (self.settings.unknown_prior + trust @ self._owning)
        total = probabilities.sum(axis=1, keepdims=True)
        return np.asarray(probabilities / np.maximum(total, _TINY), dtype=np.float32)

    def _lexical(self, probabilities: FloatArray, known_best: FloatArray) -> FloatArray:
        """The weight that suits the guessed corpus, as far as some expert knows the documents."""
        general = self.settings.lexical_weight
        return np.asarray(general + known_best * (probabilities @ self.lexical_weights - general), dtype=np.float32)


def _lexical_weights(library: PilotLibrary, settings: RouterSettings) -> FloatArray:
    """The lexical weight that did best on every corpus; one with few pilots stays near the weight that suits all."""
    weights = np.full(len(library.corpora), settings.lexical_weight, dtype=np.float32)
    for row, corpus in enumerate(library.corpora):
        mean, n_pilots = corpus.mean_lexical_gain()
        if n_pilots:
            trust = n_pilots / (n_pilots + settings.shrinkage)
            best = LEXICAL_WEIGHTS[int(np.argmax(mean))]
            weights[row] = trust * best + (1 - trust) * settings.lexical_weight
    return weights
