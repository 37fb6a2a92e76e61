"""What documents give in place of queries: by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret.training.pseudo_queries import MOST_WORDS, pseudo_queries
from routeret.types import Document

LONG = Document(
    id="long", title="On Lamps", text="The first lamp is red. The second lamp is blue! Yes. Is the third lamp green?"
)
SENTENCES = {"The first lamp is red.", "The second lamp is blue!", "Is the third lamp green?"}


def texts_of(*documents, most=100, seed=0):
    return pseudo_queries(documents, most=most, seed=seed).texts


def test_a_document_gives_a_sentence_then_its_title_then_the_other_sentences():
    found = texts_of(LONG)
    assert found[1] == "On Lamps"
    # "Yes." has fewer than four words.
    assert set(found) == SENTENCES | {"On Lamps"}
    assert len(found) == 4


def test_documents_take_turns():
    other = Document(id="other", text="One two three four five six.")
    drawn = pseudo_queries([other, LONG], most=3)
    np.testing.assert_array_equal(drawn.documents, [0, 1, 1])
    assert drawn.texts[2] == "On Lamps"


def test_a_single_sentence_gives_a_third_of_its_words_and_the_title():
    document = Document(id="one", title="shelf", text="one two three four five six seven eight")
    run, title = texts_of(document)
    words = f"{document.title} {document.text}".split()
    assert title == "shelf"
    assert len(run.split()) == 3
    assert words.index(run.split()[0]) + 2 == words.index(run.split()[2])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (Document(id="none", text=""), ()),
        (Document(id="two", text="red lamp"), ()),
        (Document(id="title alone", title="a red lamp", text=""), None),
        (Document(id="blank", title="", text=" \n "), ()),
    ],
)
def test_documents_of_few_words(document, expected):
    found = texts_of(document)
    if expected is None:
        assert found in {("a red",), ("red lamp",)}
    else:
        assert found == expected


def test_an_equal_title_comes_once():
    sentence = "The first lamp is red."
    document = Document(id="same", title=sentence, text=f"{sentence} {sentence}")
    assert texts_of(document) == (sentence,)


def test_long_sentences_are_cut():
    text = " ".join(f"w{number}" for number in range(3 * MOST_WORDS))
    assert max(len(one.split()) for one in texts_of(Document(id="d", text=f"{text}. {text}."))) == MOST_WORDS


def test_the_seed_decides_what_is_drawn():
    many = [LONG] * 20
    assert texts_of(*many, most=20) == texts_of(*many, most=20)
    assert texts_of(*many, most=20) != texts_of(*many, most=20, seed=1)


WORDS = st.lists(st.sampled_from(["lamp", "é", "red.", "is", "\n\n", "x!"]), max_size=30).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=6), st.integers(1, 12), st.integers(0, 3))
def test_every_text_is_of_its_document_and_none_is_blank(parts, most, seed):
    documents = [Document(id=str(number), title=title, text=text) for number, (title, text) in enumerate(parts)]
    drawn = pseudo_queries(documents, most=most, seed=seed)
    assert len(drawn) == len(drawn.documents) <= most
    for text, place in zip(drawn.texts, drawn.documents, strict=True):
        document = documents[place]
        assert text.strip()
        assert text in " ".join(f"{document.title} {document.text}".split())
