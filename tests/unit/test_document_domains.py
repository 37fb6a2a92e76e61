"""What tells the domain of a document by its words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.encoders import HashingEncoder
from routeret.encoders.moe.document_domains import FILE, DocumentDomains
from routeret.errors import ArtifactError, InputError
from routeret.training.document_domains import fit_document_domains

LAW = [f"tax return number {number}" for number in range(10)]
RIVER = [f"water of river {number}" for number in range(10)]
SEA = [f"salty sea wave {number}" for number in range(10)]
WORDS = ["tax", "return", "water", "river", "sea", "wave", "Über", ""]


def fixed():
    """Three domains on eight features, in whole quarters."""
    numbers = np.arange(24, dtype=np.float32).reshape(3, 8)
    return DocumentDomains((numbers * 5 % 11 - 5) / 4, np.array([0.25, 0.0, -0.25], dtype=np.float32))


def slow_numbers(domains, texts):
    """One product after the other."""
    found = []
    for text in texts:
        features = HashingEncoder(domains.coefficients.shape[1]).encode_queries([text[:2000]])[0]
        logits = [
            float(intercept) + sum(float(one) * float(other) for one, other in zip(row, features, strict=True))
            for row, intercept in zip(domains.coefficients, domains.intercepts, strict=True)
        ]
        found.append(logits.index(max(logits)))
    return found


def test_the_domain_is_that_of_the_slow_twin():
    texts = [*LAW, *RIVER, *SEA, "", "tax " * 900, "Über"]
    assert fixed().numbers(texts).tolist() == slow_numbers(fixed(), texts)
    assert set(slow_numbers(fixed(), texts)) == {0, 1, 2}


def test_domains_and_fingerprint_stay_what_they_were():
    assert fixed().numbers(["tax return", "water of the river", "salty sea", ""]).tolist() == [0, 1, 0, 1]
    assert fixed().fingerprint == "8fde6b7d48fecfd4be87cfc6475a8847b80cbadd1df7f4a8603581ba1ad851e9"


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_text_has_its_domain_whatever_comes_beside_it(texts):
    domains = fixed()
    assert domains.numbers(texts).tolist() == [int(domains.numbers([text])[0]) for text in texts]


def test_words_tell_the_domain():
    for given_texts in ([LAW, RIVER], [LAW, RIVER, SEA]):
        domains = DocumentDomains.fit(given_texts)
        assert domains.n_domains == len(given_texts)
        found = domains.numbers(["a new tax", "the return", "deep water", "a river", "a wave of the sea"])
        assert found[:4].tolist() == [0, 0, 1, 1]
        assert found.dtype == np.int64
    assert found[4] == 2


def test_a_domain_with_more_texts_is_not_likelier():
    for texts in ([["tax"], ["river"] * 200], [["tax"] * 200, ["river"]]):
        domains = DocumentDomains.fit(texts)
        # All that a text without known words has.
        assert abs(domains.intercepts[0] - domains.intercepts[1]) < 0.5
        assert domains.numbers(["tax", "river"]).tolist() == [0, 1]


def test_only_the_beginning_of_a_text_is_read():
    domains = DocumentDomains.fit([LAW, RIVER])
    beginning = ("tax " * 500)[:2000]
    assert domains.numbers([beginning, beginning + "river " * 5000]).tolist() == [0, 0]
    assert domains.numbers(["river " * 5000]).tolist() == [1]


def test_of_equally_likely_domains_the_first_is_taken():
    nothing = DocumentDomains(np.zeros((3, 8), dtype=np.float32), np.zeros(3, dtype=np.float32))
    assert nothing.numbers(["tax", ""]).tolist() == [0, 0]
    assert nothing.numbers([]).tolist() == []


def test_it_is_saved_and_loaded(tmp_path):
    domains = DocumentDomains.fit([LAW, RIVER, SEA])
    domains.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    loaded = DocumentDomains.load(tmp_path)
    np.testing.assert_array_equal(loaded.coefficients, domains.coefficients)
    np.testing.assert_array_equal(loaded.intercepts, domains.intercepts)
    assert loaded.fingerprint == domains.fingerprint


def test_one_number_changes_the_fingerprint():
    one = fixed()
    for name in ("coefficients", "intercepts"):
        arrays = {"coefficients": one.coefficients.copy(), "intercepts": one.intercepts.copy()}
        arrays[name].flat[0] += 1
        assert DocumentDomains(**arrays).fingerprint != one.fingerprint


def test_a_damaged_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=rf"{FILE} is missing"):
        DocumentDomains.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match=rf"{FILE} is damaged"):
        DocumentDomains.load(tmp_path)


@pytest.mark.parametrize(
    ("coefficients", "intercepts", "message"),
    [
        (np.zeros((2, 4)), np.zeros(2), "found an array of float64"),
        (np.full((2, 4), np.nan, dtype=np.float32), np.zeros(2, dtype=np.float32), "every number finite"),
        (np.zeros((2, 4), dtype=np.float32), np.zeros(3, dtype=np.float32), r"shape \(2, 4\).*shape \(3,\)"),
        (np.zeros((2, 1), dtype=np.float32), np.zeros(2, dtype=np.float32), "at least two features"),
    ],
)
def test_what_is_no_classifier_is_refused(coefficients, intercepts, message):
    with pytest.raises(InputError, match=message):
        DocumentDomains(coefficients, intercepts)


@pytest.mark.parametrize("texts", [[], [LAW], [LAW, []]])
def test_too_little_to_learn_from_is_refused(texts):
    with pytest.raises(InputError, match="expected two domains or more, with texts"):
        DocumentDomains.fit(texts)


def test_it_is_judged_on_documents_that_it_was_not_fitted_to():
    domains, report = fit_document_domains({"law": [*LAW, *LAW], "river": RIVER}, seed=3)
    assert report.as_dict() == {
        "n_fitted": {"law": 8, "river": 8},
        "n_held_out": {"law": 2, "river": 2},
        "accuracy": {"law": 1.0, "river": 1.0},
    }
    assert domains.numbers(["tax", "river"]).tolist() == [0, 1]
    again, _ = fit_document_domains({"law": LAW, "river": RIVER}, seed=3)
    assert again.fingerprint == domains.fingerprint


def test_documents_of_two_domains_are_told_right_in_one_of_them():
    _, report = fit_document_domains({"north": LAW, "south": LAW}, seed=0)
    assert report.n_held_out == {"north": 2, "south": 2}
    assert sum(report.accuracy.values()) < 2


def test_documents_held_out_count_as_they_are_told():
    # The one held out looks like the other domain's, whichever it is.
    _, report = fit_document_domains({"law": ["tax", "river water"], "river": ["water", "tax return"]}, seed=0)
    assert report.n_held_out == {"law": 1, "river": 1}
    assert set(report.accuracy.values()) == {0.0}


def test_a_domain_needs_two_different_documents():
    with pytest.raises(InputError, match="domain 'river' has 1 different documents in its pairs, expected at least"):
        fit_document_domains({"law": LAW, "river": ["water", "water"]}, seed=0)
