"""What people see."""

from routeret.cli.output import fields_text, hits_text, routing_text, shortened, structures_text
from routeret.types import Hit, Hits, Pilot, Routing

ROUTED = Routing(
    weights={"base": 0.3, "health": 0.695, "work": 0.005, "bm25": 0.15},
    strengths={"health": 0.7},
    predicted_gains={"health": 0.081, "work": -0.02},
    margin=0.081,
    held_back=False,
    corpora={"nfcorpus": 0.9, "esco": 0.1},
    known_documents={"health": 0.8, "work": 0.0},
    pilots=(Pilot(text="what is\nasthma?", corpus="nfcorpus", similarity=0.713),),
)
PLAIN = Routing(
    weights={"base": 1.0},
    strengths={},
    predicted_gains={},
    margin=0.0,
    held_back=True,
    corpora={},
    known_documents={},
    pilots=(),
    adaptation=0.2,
    reason="too few documents are known",
)


def test_a_routing_in_lines():
    assert routing_text(ROUTED).splitlines() == [
        "Routing: health 0.69, base 0.30; plus bm25 0.15",
        "  margin 0.081, not held back",
        "  at strength: health 0.70",
        "  predicted gain in nDCG@10: health +0.081, work -0.020",
        "  like queries of: nfcorpus 0.90, esco 0.10",
        "  first documents known to: health 0.80",
        "  near pilot 0.71 (nfcorpus): what is asthma?",
    ]
    assert routing_text(PLAIN).splitlines() == [
        "Routing: base 1.00",
        "  margin 0.000, held back: too few documents are known",
        "  turned by the index's own map at strength 0.20",
    ]


def test_hits_are_ranked_with_title_and_snippet_of_the_span():
    hits = Hits(
        query="q",
        items=(
            Hit(id="d1", score=0.5, title="Bär", text="nothing. the span\nitself. nothing", metadata={}, span=(9, 25)),
            Hit(id="d2", score=0.25, title="", text="x" * 200, metadata={}, span=(0, 200)),
            Hit(id="d3", score=0.125, title="title only", text="", metadata={}, span=(0, 0)),
        ),
        routing=PLAIN,
    )
    lines = hits_text(hits).splitlines()
    assert lines[:5] == [
        "  1  0.5000  d1  Bär",
        "     the span itself.",
        "  2  0.2500  d2",
        f"     {'x' * 159}…",
        "  3  0.1250  d3  title only",
    ]
    assert lines[5:7] == ["", "Routing: base 1.00"]


def test_no_hit_is_said():
    assert hits_text(Hits(query="q", items=(), routing=PLAIN)).startswith("No document was found.\n")


def test_fields():
    values = {
        "name": "kb",
        "n": 3,
        "share": 0.123456,
        "on": True,
        "off": False,
        "none": None,
        "in": {"a": ["x", "y"], "b": []},
    }
    assert fields_text(values).splitlines() == [
        "name: kb",
        "n: 3",
        "share: 0.1235",
        "on: yes",
        "off: no",
        "none: -",
        "in:",
        "  a: x, y",
        "  b: none",
    ]


def test_structures_of_two_spaces():
    own = {"factory": "SQ8", "rows": 1200, "rows_exact": 3, "recall": {"law": 0.99}, "reason": "why"}
    recall = {"base": 1.0, "bio": 0.9951}
    found = {"factory": "exact", "rows_exact": 1200, "recall": recall, "spaces": {"3f9c1a": own}}
    assert structures_text(found).splitlines() == [
        "Search structure: exact, over 1,200 rows.",
        "  recall 0.9951 for queries of bio",
        "  recall 1.0000 for queries of base",
        "Space 3f9c1a: SQ8, over 1,200 rows.",
        "  recall 0.9900 for queries of law",
        "  why",
    ]


def test_shortening():
    assert shortened("a  b\nc", 5) == "a b c"
    assert shortened("abcdef", 5) == "abcd…"
    assert shortened("abc def", 5) == "abc…"
