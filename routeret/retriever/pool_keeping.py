"""The experts of an open retriever: added, removed, and tuned to its documents."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from routeret.chance import require_seed
from routeret.encoders import named_encoder
from routeret.errors import InputError
from routeret.experts import TowerExpert, load_expert
from routeret.index.tokens import TokenStorage
from routeret.protocols import Expert
from routeret.retriever import changing
from routeret.retriever.creating import model_name
from routeret.retriever.descriptions import copy_expert, descriptions_of, require_words
from routeret.retriever.keeping import DocumentKeeper
from routeret.retriever.learned_map import OWN_MAP, LearnedMap
from routeret.retriever.own_spaces import require_own_space
from routeret.routing import PilotLibrary
from routeret.space import Space
from routeret.types import LabelledQuery

if TYPE_CHECKING:
    from routeret.significance import PairedTest
    from routeret.training import TuneReport
    from routeret.training.unlabelled import UnlabelledReport


class PoolKeeper(DocumentKeeper):
    """A folder with an index, a base model and a pool, whose documents and experts change."""

    @property
    def expert_names(self) -> tuple[str, ...]:
        """The experts in the pool, in the order in which they were added."""
        return self._loader.contents.expert_names

    @property
    def expert_descriptions(self) -> Mapping[str, str | None]:
        """What every expert is for, in words, by name; None where nobody said. Loads no model."""
        return descriptions_of(self._folder, self._loader.contents)

    def add_expert(self, folder: Path | str, *, description: str | None = None, show_progress: bool = False) -> None:
        """Add a trained expert and fit the router anew.

        No document is embedded again for an expert of the base's space, or of a space that an expert of the pool
        brought, as the experts of one mixture share theirs. One with a new space embeds every document once; a call
        that was interrupted goes on where it stopped when it is repeated.

        Args:
            folder: the expert's, with its pilots.
            description: what the expert is for, in words, in place of what its folder says; None keeps that. The
                router that goes by descriptions alone reads it.
            show_progress: draw a progress bar on stderr.

        Raises:
            ArtifactError: the folder is not an expert, or is damaged.
            SpaceMismatchError: the expert was trained on another base.
            InputError: an expert of this name is there already, the folder holds no pilots, they were measured with
                another fusion of spaces than the retriever's, or the description is blank.
            IndexLockedError: another process is writing.
        """
        require_words(description)
        source = Path(folder)
        expert = load_expert(source)
        if isinstance(expert, TowerExpert):
            expert = expert.on(self._loader.device)
        pilots = changing.read_pilots(source, expert)
        self._install(
            expert,
            pilots,
            write=lambda target: copy_expert(source, target, description=description),
            show_progress=show_progress,
        )

    def add_model(
        self,
        model: Path | str,
        *,
        name: str,
        data: Sequence[Path | str] = (),
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        interaction: float | None = None,
        token_storage: TokenStorage | None = None,
        description: str | None = None,
        show_progress: bool = False,
    ) -> "PairedTest":
        """Add any sentence-transformers model as an expert with a space of its own; every document is embedded once.

        The router learns from labelled queries when the model helps. Without any it never chooses it, and
        ``search(..., expert=name)`` does.

        Args:
            model: a folder or the name of a model on this machine; the retriever refers to it.
            name: what the expert will be called.
            data: BEIR folders whose train and dev queries tell how much the model gains over the base.
            query_prompt: text put before every query; None takes the one that the model names.
            document_prompt: text put before every document; None takes the one that the model names.
            interaction: temperature of soft late interaction between the tokens of a query and the documents; None
                compares one vector of each.
            token_storage: precision in which the tokens of documents are kept, to be compared with those of queries;
                None compares the tokens of queries with one vector of each document.
            description: what the expert is for, in words; the router that goes by descriptions alone reads it.
            show_progress: draw progress bars on stderr.

        Returns:
            nDCG@10 on dev, with the model beside the base minus the base alone; 0 at p 1 without ``data``.

        Raises:
            ModelNotFoundError: the model is nowhere on this machine.
            InputError: an expert of this name is there already, the model cannot do what ``interaction`` asks for, or
                the description is blank.
            CorpusError: a folder cannot be read, or has no train split.
            SpaceMismatchError: the model is the base itself.
            IndexLockedError: another process is writing.
        """
        from routeret.routing.description import described
        from routeret.training.towers import measured_model

        require_words(description)
        changing.require_free_name(self._folder, self._loader.contents, name)
        base, contents = self._loader.base(), self._loader.contents
        encoder = named_encoder(
            model, device=self._loader.device, query_prompt=query_prompt, document_prompt=document_prompt
        )
        require_own_space(self._index, encoder.space, of=f"expert {name!r}")
        unmeasured = TowerExpert(
            name,
            encoder,
            model=model_name(model) or str(model),
            details=described(description or ""),
            interaction=interaction,
            token_storage=token_storage,
        )
        measured = measured_model(
            unmeasured, data=data, base=base, how=contents.space_fusion, show_progress=show_progress
        )
        expert = measured.expert
        self._install(expert, measured.pilots, write=expert.save, show_progress=show_progress)
        return measured.difference

    def remove_expert(self, name: str) -> None:
        """Remove an expert and what the router learned with it.

        Args:
            name: the expert's; ``"own-map"`` removes the map that :meth:`tune_unlabelled` made.

        Raises:
            UnknownExpertError: there is no such expert.
            IndexLockedError: another process is writing.
        """
        with self._changing():
            if name == OWN_MAP:
                changing.remove_map(self._folder)
                return
            changing.remove_expert(self._folder, name)
            self.refresh()
            with self._opened():
                # Opening it has dropped the space that nobody needs any more.
                pass

    def tune_unlabelled(self, *, seed: int = 0, show_progress: bool = False) -> "UnlabelledReport":
        """Learn a map of the index from its own documents, without labels, and install it if it is worth having.

        Seconds; no document is embedded again. The map stands in for the one that the index computes of its
        documents: where no expert knows the first hits, and as far as BM25 does not count, whose knowledge it holds. It
        stays as it is when documents are added or removed: call this again to learn it anew.
        ``remove_expert("own-map")`` undoes it. Experts, also those that :meth:`tune` makes from labels, are not
        changed; where one knows the documents, the map is silent.

        Args:
            seed: of the draw of pseudo-queries.
            show_progress: draw a progress bar on stderr.

        Returns:
            Whether it was installed, and why. One that was learned earlier stays where the new one is refused.

        Raises:
            InputError: the seed is below 0.
            IndexLockedError: another process is writing.
        """
        from routeret.retriever.unlabelled import tuned_without_labels

        require_seed(seed)
        with self._using_index.shared():
            report, weight = tuned_without_labels(self.searcher, seed=seed, show_progress=show_progress)
            has_map = self._loader.contents.index_map is not None
        if weight is not None:
            with self._changing():
                changing.install_map(self._folder, LearnedMap(weight, {"tuned": report.as_dict()}))
        elif has_map:
            undo = f"routeret experts remove {self._folder} {OWN_MAP}"
            kept = f"the map that was learned earlier stays, to remove it: {undo}"
            return replace(report, reason=f"{report.reason}; {kept}")
        return report

    def tune(
        self,
        queries: Sequence[LabelledQuery],
        *,
        name: str = "tuned",
        seed: int = 0,
        show_progress: bool = False,
        force: bool = False,
    ) -> "TuneReport":
        """Fit an expert to labelled queries and install it if the expected benefit outweighs the risk.

        The weight of BM25 beside it is learned from the same queries. Seconds for a hundred queries; no document is
        embedded again. :meth:`remove_expert` undoes it.

        Args:
            queries: with documents of the index that answer them; :func:`routeret.clicks.clicked_queries` makes them
                of a click log.
            name: what the expert will be called.
            seed: fixes folds and draws.
            show_progress: draw a progress bar on stderr.
            force: install the expert even if its expected benefit is too small.

        Returns:
            Before, after, whether it was installed and why, and what more queries may add.

        Raises:
            InputError: there are fewer than two different queries or more than 2,000, one is blank or has no relevant
                document, an expert of the pool was tuned on one of them, the name is taken, the seed is below 0, or an
                expert of the pool has a space of its own: what a tuned expert would add to it is not
                measured.
            UnknownDocumentError: a relevant document is not in the index; nothing is changed.
            IndexLockedError: another process is writing.
        """
        from routeret.retriever.tuned_before import require_new_queries
        from routeret.retriever.tuning import LabelledSearch
        from routeret.training import tune

        start = time.perf_counter()
        require_seed(seed)
        changing.require_free_name(self._folder, self._loader.contents, name)
        with self._using_index.shared():
            searcher = self.searcher
            towers = tuple(searcher.pool.tower_by_name)
            if towers:
                commands = "; ".join(f"routeret experts remove {self._folder} {name}" for name in towers)
                raise InputError(
                    f"index {self._folder.name!r} has experts with documents of their own ({', '.join(towers)}); an "
                    f"expert is tuned beside the base's space alone: remove them first ({commands}), and add them "
                    f"again afterwards"
                )
            known = changing.library_of(self._folder, self._loader.contents)
            require_new_queries(queries, known, folder=self._folder)
            labelled = LabelledSearch.of(queries, searcher)
            outcome = tune(labelled.task, name=name, seed=seed, force=force, show_progress=show_progress)
            expert, pilots = labelled.expert(outcome, searcher), labelled.pilots(outcome, searcher)
        if outcome.report.installed:
            self._install(expert, pilots, write=expert.save, show_progress=show_progress)
        return replace(outcome.report, seconds=time.perf_counter() - start)

    def _install(
        self,
        expert: Expert | TowerExpert,
        pilots: PilotLibrary,
        *,
        write: Callable[[Path], None],
        show_progress: bool,
    ) -> None:
        """Put an expert into the pool; first the documents get vectors in its space if it brings one."""
        with self._changing():
            changing.require_place(self._folder, self._loader.contents, expert, pilots)
            if isinstance(expert, TowerExpert):
                with self._opened(keep=expert) as index:
                    index.add_space(
                        expert.encoder,
                        storage=index.storage,
                        tokens=expert.token_storage,
                        show_progress=show_progress,
                    )
            changing.install(self._folder, expert, pilots, write=write)
        self._measure_structure(expert.space)

    def _measure_structure(self, space: Space) -> None:
        """See that the search structure of a space finds what a new expert looks for there."""
        with self._using_index.shared():
            if self._index.has_structure(space):
                self._index.measure(self._loader.probes(self._index, space), space=space)
