"""Mining against dictionaries, for every setting."""

import json
import tempfile
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.mining import BipartiteGraph, DocumentSplit, mine_cocitations

SHARES = {"train": 0.5, "dev": 0.25, "test": 0.25}

papers = st.sampled_from(["p", "q", "r", "s", "t", "a", "b"])
documents = st.sampled_from(["a", "b", "c", "d", "e", "ä", "Z", "字", "a b"])
citations = st.lists(st.tuples(papers, documents), min_size=1, max_size=60)


def slow_pairs(edges, *, min_count, cap, most_references, hold_out, name_of):
    """The pairs by split, from a dictionary of every paper and every pair."""
    cited = defaultdict(set)
    for citing, document in edges:
        if citing != document and not {citing, document} & hold_out:
            cited[citing].add(document)
    surveys = {paper: len(found) for paper, found in cited.items() if len(found) > most_references}
    counts = Counter(
        pair for paper, found in cited.items() if paper not in surveys for pair in combinations(sorted(found), 2)
    )
    eligible = {pair: n for pair, n in counts.items() if n >= min_count and len({name_of(one) for one in pair}) == 1}
    best = {}
    for one in {document for pair in eligible for document in pair}:
        others = sorted((-n, *(set(pair) - {one})) for pair, n in eligible.items() if one in pair)
        best[one] = {other for _, other in others[:cap]}
    by_split = defaultdict(list)
    for (a, b), n in sorted(eligible.items()):
        if b in best[a] and a in best[b]:
            by_split[name_of(a)].append({"a": a, "b": b, "count": n})
    return by_split, surveys, len(counts), eligible


@settings(deadline=None, max_examples=150)
@given(
    citations,
    st.integers(1, 3),
    st.none() | st.integers(1, 3),
    st.integers(2, 6),
    st.booleans(),
    st.integers(0, 5),
    st.sets(st.sampled_from(["p", "a", "ä"]), max_size=2),
)
def test_pairs_are_those_of_a_slow_twin(edges, min_count, cap, most_references, has_split, seed, hold_out):
    hold_out &= {one for edge in edges for one in edge}
    name_of = DocumentSplit(SHARES, seed=seed).name_of if has_split else lambda _: "all"
    by_split, surveys, n_found, eligible = slow_pairs(
        edges, min_count=min_count, cap=cap, most_references=most_references, hold_out=hold_out, name_of=name_of
    )
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "edges.jsonl")
        listed.write_text("".join(json.dumps({"citing": one, "cited": two}) + "\n" for one, two in edges))

        def mine():
            return mine_cocitations(
                listed,
                out=Path(folder, "pairs.jsonl"),
                min_count=min_count,
                most_per_document=cap,
                most_references=most_references,
                split=SHARES if has_split else None,
                hold_out=hold_out,
                seed=seed,
            )

        if not eligible:
            with pytest.raises(InputError, match="no pair of documents is left"):
                mine()
            assert [path.name for path in Path(folder).iterdir()] == ["edges.jsonl"]
            return
        report = mine()
        found = {
            name: [json.loads(line) for line in Path(folder, file).read_text(encoding="utf-8").splitlines()]
            for name, file in zip(SHARES if has_split else ["all"], report.files, strict=True)
        }
    assert found == {name: by_split[name] for name in found}
    assert report.left_out_papers == surveys
    assert report.edges == len(edges)
    unused = report.held_out_edges + report.self_citations + report.unknown_edges + report.duplicate_edges
    assert report.edges == unused + report.distinct_edges
    assert report.found_pairs == n_found
    assert report.found_pairs == report.below_min_count + report.across_splits + report.over_cap + report.pairs
    assert report.pairs == sum(map(len, found.values()))
    assert report.over_cap == len(eligible) - report.pairs
    ids = {name: {one[end] for one in pairs for end in "ab"} for name, pairs in found.items()}
    assert sum(map(len, ids.values())) == len(set().union(*ids.values()))
    if has_split:
        assert report.pairs_by_split == {name: len(pairs) for name, pairs in found.items()}
        assert report.documents_by_split == {name: len(ids[name]) for name in found}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True), st.integers(0, 9))
def test_a_documents_split_does_not_depend_on_the_others(ids, seed):
    split = DocumentSplit(SHARES, seed=seed)
    names = [split.name_of(one) for one in ids]
    again = DocumentSplit(SHARES, seed=seed)
    assert [again.name_of(one) for one in reversed(ids)] == names[::-1]


edge_rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=30)


@given(edge_rows, st.data())
def test_positives_are_those_of_a_set_of_pairs(rows, data):
    left, right = ({f"{side}{number}": f"{side} {number}" for number in range(n)} for side, n in (("l", 6), ("r", 5)))
    graph = BipartiteGraph.from_edges("g", np.array(rows, dtype=np.int64), left=left, right=right)
    pairs = {(f"l{one}", f"r{two}") for one, two in rows}
    assert {(graph.left_ids[one], graph.right_ids[two]) for one, two in graph.edges.tolist()} == pairs
    assert len(graph.edges) == len(pairs)
    assert list(graph.left_ids) == sorted({one for one, _ in pairs})
    assert list(graph.right_ids) == sorted({two for _, two in pairs})
    for row, one in enumerate(graph.left_ids):
        assert [graph.right_ids[two] for two in graph.positives_of_left(row)] == sorted(
            two for first, two in pairs if first == one
        )
    for row, two in enumerate(graph.right_ids):
        assert [graph.left_ids[one] for one in graph.positives_of_right(row)] == sorted(
            one for one, second in pairs if second == two
        )
    some_left = data.draw(st.lists(st.integers(0, len(graph.left_ids) - 1), max_size=4))
    some_right = data.draw(st.lists(st.integers(0, len(graph.right_ids) - 1), max_size=4))
    found = graph.are_positive(np.array(some_left, dtype=np.int64), np.array(some_right, dtype=np.int64))
    assert found.shape == (len(some_left), len(some_right))
    assert found.tolist() == [
        [(graph.left_ids[one], graph.right_ids[two]) in pairs for two in some_right] for one in some_left
    ]
