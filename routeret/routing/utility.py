"""The router that predicts what every expert gains on a query, and mixes them by it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.errors import InputError, UnknownExpertError
from routeret.routing.corpus_guess import CorpusGuess
from routeret.routing.decisions import RoutingBatch
from routeret.routing.pilots import LEXICAL_WEIGHTS, STRENGTHS, PilotLibrary
from routeret.routing.settings import RouterSettings
from routeret.routing.standing import CorpusStanding
from routeret.types import FloatArray, IntArray, QueryBatch

KIND = "router"
FORMAT = 1

_ARRAYS = "router.safetensors"
_PILOTS = "pilots"
_HELD_BACK_BELOW = 0.95


@dataclass(frozen=True, slots=True)
class UtilityRouter:
    """Two steps: the training corpus given the query, times the mean gain of every expert on every corpus.

    Which expert is best on a single query is too jittery to learn from; what an expert gains on the mean of a corpus
    is not (as Composition of Experts, arXiv 2412.01868, found for language models). So the predicted gain of expert e
    at strength s on query q is ``sum over corpora c of P(c | q) * gain[c, e, s]``. The weights are the softmax of
    predicted gains over a temperature, with the base at gain 0; what is not expected to gain gets no weight.

    An expert is bound to the documents that it was trained over. Where the base's first hits are not among them, its
    predicted gain is damped by how unlike the query is to the pilots, and its strength is capped.

    Attributes:
        library: the pilots it was fitted on.
        expert_names: the pool, in the order of its columns.
        settings: how it weighs.
        guess: from query to training corpus.
        gains: float32, shape (n_corpora, n_experts, n_strengths); mean dev gains, shrunk towards 0.
        lexical_weights: float32, shape (n_corpora,); the lexical weight that did best on each corpus.
    """

    library: PilotLibrary
    expert_names: tuple[str, ...]
    settings: RouterSettings
    guess: CorpusGuess
    gains: FloatArray
    lexical_weights: FloatArray

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
        if len(set(experts)) != len(experts):
            raise InputError(f"experts {list(experts)} name one twice; name each once")
        settings = settings or RouterSettings()
        shape = (len(library.corpora), len(experts), len(STRENGTHS))
        gains = np.zeros(shape, dtype=np.float32)
        lexical = np.full(len(library.corpora), settings.lexical_weight, dtype=np.float32)
        for row, corpus in enumerate(library.corpora):
            for column, expert in enumerate(experts):
                mean, n_pilots = corpus.mean_gain(expert)
                gains[row, column] = mean * n_pilots / (n_pilots + settings.shrinkage) if n_pilots else 0.0
            mean, n_pilots = corpus.mean_lexical_gain()
            if n_pilots:
                # A corpus with few pilots stays near the weight that suits all.
                best = LEXICAL_WEIGHTS[int(np.argmax(mean))]
                trust = n_pilots / (n_pilots + settings.shrinkage)
                lexical[row] = trust * best + (1 - trust) * settings.lexical_weight
        guess = CorpusGuess.fit([corpus.vectors for corpus in library.corpora], regularisation=settings.regularisation)
        return cls(library, tuple(experts), settings, guess, gains, lexical)

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
        trust = np.clip(known / self.settings.known_share, 0.0, 1.0)
        guessed = self.guess.probabilities(queries.base)
        owners = self._owners()
        probabilities = self._with_evidence(guessed, owners, trust)
        likeness = self.guess.likeness(queries.base, [corpus.vectors for corpus in self.library.corpora])
        expected = self._expected(probabilities)
        damped = self._expected(probabilities * likeness)
        gains = trust[:, :, None] * expected + (1 - trust[:, :, None]) * damped
        weights, wanted = self._mixed(gains)
        cap = self.settings.unknown_strength + (1 - self.settings.unknown_strength) * trust
        strengths = np.minimum(wanted, cap).astype(np.float32)
        pull = (weights[:, 1:] * wanted).sum(axis=1)
        held_back = (weights[:, 1:] * strengths).sum(axis=1) < _HELD_BACK_BELOW * pull
        return RoutingBatch(
            experts=self.expert_names,
            weights=weights,
            strengths=strengths,
            lexical=self._lexical(probabilities, trust),
            gains=gains.max(axis=2, initial=-np.inf).astype(np.float32),
            held_back=held_back,
            corpora=tuple(corpus.name for corpus in self.library.corpora),
            corpus_probabilities=probabilities,
            known=known,
            adaptation=self.settings.index_strength * (1 - trust.max(axis=1, initial=0.0)).astype(np.float32),
            standing=self._standing(guessed, owners),
        )

    def known_index(self, corpus: str, *, n_queries: int) -> RoutingBatch | None:
        """The constant mixture from a corpus's own row of the gain table, for indexes known to hold that corpus.

        Args:
            corpus: name of a training corpus.
            n_queries: for how many queries.

        Returns:
            None where the corpus has no row.
        """
        names = [known.name for known in self.library.corpora]
        if corpus not in names:
            return None
        weights, strengths = self._mixed(self.gains[[names.index(corpus)]])
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
        return replace(self, expert_names=names, gains=self.gains[:, columns])

    def save(self, folder: Path | str) -> None:
        """Write the router and its pilots as a new folder of plain JSON and safetensors."""
        from safetensors.numpy import save_file

        arrays = {
            "coefficients": self.guess.coefficients,
            "intercepts": self.guess.intercepts,
            "floors": self.guess.floors,
            "ceilings": self.guess.ceilings,
            "gains": self.gains,
            "lexical_weights": self.lexical_weights,
        }
        with new_folder(Path(folder)) as temporary:
            save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, temporary / _ARRAYS)
            self.library.save(temporary / _PILOTS)
            write_manifest(
                temporary,
                kind=KIND,
                format_number=FORMAT,
                fields={"experts": list(self.expert_names), "settings": self.settings.as_dict()},
            )

    @classmethod
    def load(cls, folder: Path | str) -> "UtilityRouter":
        """The router that :meth:`save` wrote.

        Raises:
            ArtifactError: the folder is damaged, or of another kind or format.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
        arrays = load_file(folder / _ARRAYS)
        guess = CorpusGuess(arrays["coefficients"], arrays["intercepts"], arrays["floors"], arrays["ceilings"])
        return cls(
            library=PilotLibrary.load(folder / _PILOTS),
            expert_names=tuple(manifest["experts"]),
            settings=RouterSettings(**manifest["settings"]),
            guess=guess,
            gains=arrays["gains"],
            lexical_weights=arrays["lexical_weights"],
        )

    def _owners(self) -> IntArray:
        """The column of every corpus's own expert, the most special one in the pool; -1 where there is none."""
        owners = [corpus.owner_among(self.expert_names) for corpus in self.library.corpora]
        return np.array([-1 if owner is None else owner for owner in owners], dtype=np.int64)

    def _standing(self, guessed: FloatArray, owners: IntArray) -> CorpusStanding | None:
        """What the corpora count by how like them the query is, whatever the first hits are."""
        if self.settings.corpus_penalty == 0 or not (owners >= 0).any():
            return None
        corpora = [corpus for corpus in self.library.corpora if not corpus.is_index]
        breadths = np.array(
            [sum(name in corpus.home_experts for corpus in corpora) or len(corpora) + 1 for name in self.expert_names],
            dtype=np.int64,
        )
        # Documents do not stand in the index's own corpus: they would all be lowered beside a training corpus.
        owners = np.where([corpus.is_index for corpus in self.library.corpora], -1, owners)
        return CorpusStanding(owners, breadths, self.settings.corpus_penalty * guessed)

    def _with_evidence(self, guessed: FloatArray, owners: IntArray, trust: FloatArray) -> FloatArray:
        """Probability of every corpus given the query and whose documents the base's first hits are.

        A corpus whose own expert knows the first hits keeps its probability; one whose expert knows none of them
        keeps a small part. Where no expert knows any, the query alone decides.
        """
        evidence = np.zeros(guessed.shape, dtype=np.float32)
        owned = owners >= 0
        evidence[:, owned] = trust[:, owners[owned]]
        probabilities = guessed * (self.settings.unknown_prior + evidence)
        total = probabilities.sum(axis=1, keepdims=True)
        return np.asarray(probabilities / np.maximum(total, np.finfo(np.float32).tiny), dtype=np.float32)

    def _expected(self, probabilities: FloatArray) -> FloatArray:
        """Predicted gains, shape (n_queries, n_experts, n_strengths)."""
        return np.asarray(np.einsum("qc,ces->qes", probabilities, self.gains), dtype=np.float32)

    def _mixed(self, gains: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Softmax over the base and all that gains, summed up to a weight and a mean strength an expert.

        Args:
            gains: float32, shape (n_queries, n_experts, n_strengths).

        Returns:
            Weights, shape (n_queries, 1 + n_experts), and strengths, shape (n_queries, n_experts).
        """
        n_queries, n_options = len(gains), gains.shape[1] * gains.shape[2]
        logits = np.concatenate([np.zeros((n_queries, 1)), gains.reshape(n_queries, n_options)], axis=1)
        logits /= self.settings.temperature
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        # Many experts that promise nothing would together outweigh one that promises a little.
        shares[:, 1:] *= logits[:, 1:] > 0
        shares /= shares.sum(axis=1, keepdims=True)
        by_strength = shares[:, 1:].reshape(gains.shape)
        weights = np.concatenate([shares[:, :1], by_strength.sum(axis=2)], axis=1)
        strengths = (by_strength * STRENGTHS).sum(axis=2) / np.maximum(weights[:, 1:], np.finfo(np.float32).tiny)
        return weights.astype(np.float32), strengths.astype(np.float32)

    def _lexical(self, probabilities: FloatArray, trust: FloatArray) -> FloatArray:
        """The weight that suits the guessed corpus, as far as some expert knows the documents."""
        general = self.settings.lexical_weight
        known = trust.max(axis=1, initial=0.0)
        return np.asarray(general + known * (probabilities @ self.lexical_weights - general), dtype=np.float32)
