"""A pool as if it had never seen a data set: how experts and router do on documents of somebody else."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from routeret.experts.sketch import are_among, short_keys
from routeret.retriever.pool import Pool
from routeret.routing import PilotCorpus, PilotLibrary, UtilityRouter
from routeret.routing.picking import names_of
from routeret.routing.pilots import SHARED
from routeret.types import HashArray


def pool_without(pool: Pool, name: str, keys: HashArray, queries: Collection[str] = ()) -> Pool:
    """The pool without what has seen a data set; the router is fitted again on the pilots that are left.

    These have seen it: the training corpora of its name, of the same source as that, those of whose pilots more than
    1 % are queries of it, and those of which an expert that was trained on nothing else knows more than 1 % of its
    documents; the experts trained on one of these corpora, and
    those that know more than 1 % of its documents. An expert of several corpora goes as a whole, since it cannot forget
    one of them.

    Args:
        pool: with a utility router, or without any; other routers are left out.
        name: of the data set, as its training corpus would be called.
        keys: content keys of its documents, uint64, shape (n_documents,).
        queries: its queries, of all splits.
    """
    router = pool.router
    library = router.library if isinstance(router, UtilityRouter) else PilotLibrary(pool.base.query_tower, ())
    has_seen = {
        expert.name
        for expert in pool.experts
        if len(keys) and are_among(keys, short_keys(expert.known_documents)).mean() > SHARED
    }
    corpora = _seen_corpora(library.corpora, name, has_seen, frozenset(queries))
    has_seen.update(expert for corpus in corpora for expert in corpus.home_experts)
    experts = tuple(expert for expert in pool.experts if expert.name not in has_seen)
    if len(experts) == len(pool.experts) and not corpora:
        return pool
    if not isinstance(router, UtilityRouter) or not experts:
        return replace(pool, experts=experts, router=None)
    library = library.without_corpora([corpus.name for corpus in corpora])
    for expert in sorted(has_seen):
        library = library.without_expert(expert)
    return replace(
        pool, experts=experts, router=UtilityRouter.fit(library, names_of(experts), settings=router.settings)
    )


def _seen_corpora(
    corpora: Sequence[PilotCorpus], name: str, has_seen: set[str], queries: frozenset[str]
) -> list[PilotCorpus]:
    sources = {corpus.source or corpus.name for corpus in corpora if corpus.name == name}
    n_homes = {
        expert: sum(expert in corpus.home_experts for corpus in corpora)
        for expert in {expert for corpus in corpora for expert in corpus.home_experts}
    }
    return [
        corpus
        for corpus in corpora
        if corpus.name == name
        or (corpus.source or corpus.name) in sources
        or any(n_homes[expert] == 1 and expert in has_seen for expert in corpus.home_experts)
        or sum(text in queries for text in corpus.texts) > SHARED * len(corpus.texts)
    ]
