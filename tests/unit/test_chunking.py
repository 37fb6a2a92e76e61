import subprocess
import sys
from collections import Counter
from importlib.metadata import version

import numpy as np
import pytest

from routeret.chunking import (
    CallableChunker,
    Chunker,
    MarkdownHeadings,
    SentenceWindows,
    WholeText,
    checked_spans,
    chunker_from_dict,
    parse_chunker,
    require_same_chunker,
)
from routeret.chunking.units import sentence_spans
from routeret.errors import InputError
from routeret.types import Document

CHUNKERS = [
    WholeText(),
    SentenceWindows(),
    SentenceWindows(size=40, overlap=20),
    MarkdownHeadings(),
    CallableChunker(lambda document: [(0, len(document.text))], name="all", version="1"),
]

PROSE = (
    "Müller went home. He was tired, i.e. asleep on his feet! Was it late?\n"
    "It was\nwrapped by hand. 😀 Smiled. 這是中文。第二句話。 नमस्ते दुनिया। Go\r\nhome.\n"
    " \n"
    "A heading without an end\n\n\n"
    "The last 3.5 words"
)
SENTENCES = [
    "Müller went home.",
    "He was tired, i.e. asleep on his feet!",
    "Was it late?",
    "It was\nwrapped by hand.",
    "😀 Smiled.",
    "這是中文。",
    "第二句話。",
    "नमस्ते दुनिया।",
    "Go\r\nhome.",
    "A heading without an end",
    "The last 3.5 words",
]

GUIDE = """---
name: guide
---
A few words first.

# Guide

## Install
Run `pip`.

```sh
# not a heading
pip install it

## nor this
```

Underlined
==========
Text.
#hashtag and ```inline``` code

### Ende Ü 😀
x"""


def cut(chunker, text):
    return [text[start:end] for start, end in chunker.spans(Document("d", text))]


def prose(rng, n_paragraphs, *, gap="\n\n"):
    """Paragraphs of two to eight sentences of three to twenty words, out of a thousand words."""
    letters = np.array(list("abcdefgh"))
    vocabulary = ["".join(letters[rng.integers(0, 8, size=length)]) for length in rng.integers(2, 9, size=1000)]

    def sentence():
        numbers = rng.integers(0, 1000, size=rng.integers(3, 21))
        return " ".join(vocabulary[number] for number in numbers).capitalize() + "."

    return gap.join(" ".join(sentence() for _ in range(rng.integers(2, 9))) for _ in range(n_paragraphs))


def table(rng, n_paragraphs):
    """Twenty lines of equal length a paragraph, without a sentence's end."""
    return "\n".join(f"{number:08d} | {number % 977:04d}" for number in rng.integers(0, 10**8, size=20 * n_paragraphs))


def words_only(rng, n_paragraphs):
    """A hundred words a paragraph, without punctuation or lines."""
    return prose(rng, 2 * n_paragraphs, gap=" ").replace(".", "").lower()


def n_new(chunker, before, after):
    """How many span texts of the second text the first does not have."""
    return (Counter(cut(chunker, after)) - Counter(cut(chunker, before))).total()


@pytest.mark.parametrize("chunker", CHUNKERS, ids=lambda chunker: chunker.as_dict()["kind"])
@pytest.mark.parametrize("text", ["", " ", "\n\n\t\u2029"])
def test_a_blank_text_is_one_span(chunker, text):
    document = Document("d", text, title="A title")
    assert chunker.spans(document) == [(0, len(text))]
    assert checked_spans(document, chunker.spans(document)) == [(0, len(text))]


@pytest.mark.parametrize("chunker", CHUNKERS, ids=lambda chunker: chunker.as_dict()["kind"])
def test_short_texts_are_one_span(chunker):
    for text in ("x", "Ü.", "👩\u200d👩\u200d👧"):
        assert chunker.spans(Document("d", text)) == [(0, len(text))]


@pytest.mark.parametrize("chunker", CHUNKERS, ids=lambda chunker: chunker.as_dict()["kind"])
def test_a_chunker_comes_back_from_its_values(chunker):
    assert isinstance(chunker, Chunker)
    again = chunker_from_dict(chunker.as_dict())
    assert again == chunker
    assert again.fingerprint == chunker.fingerprint
    require_same_chunker(chunker.as_dict(), again, here="index 'faq'")


def test_fingerprints_are_the_same_on_every_machine():
    assert WholeText().fingerprint == "4845a02a35bab3d3"
    assert CallableChunker(None, name="pages", version="2").fingerprint == "15fd135c746cca3b"


def test_every_setting_and_the_library_change_the_fingerprint(monkeypatch):
    chunkers = [*CHUNKERS, SentenceWindows(size=801), SentenceWindows(overlap=0), MarkdownHeadings(size=999)]
    assert len({chunker.fingerprint for chunker in chunkers}) == len(chunkers)
    before = SentenceWindows().fingerprint
    assert SentenceWindows().as_dict()["library"] == f"semantic-text-splitter {version('semantic-text-splitter')}"
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    assert SentenceWindows().fingerprint != before


def test_the_splitter_is_not_loaded_before_it_is_needed():
    program = """
import sys
from routeret.chunking import SentenceWindows, parse_chunker
from routeret.types import Document
parse_chunker("sentences").fingerprint
SentenceWindows().spans(Document("d", "Short. Text."))
assert "semantic_text_splitter" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("block", [1, 16, 50, 100, 1000])
def test_sentences_of_many_scripts(block):
    assert [PROSE[start:end] for start, end in sentence_spans(PROSE, block=block)] == SENTENCES


def test_sentences_behind_much_white_space():
    text = "One." + 3000 * " " + "Two." + 5000 * "\n" + "Three"
    assert [text[start:end] for start, end in sentence_spans(text)] == ["One.", "Two.", "Three"]


def test_windows_are_whole_sentences():
    text = "One is here. Two is here.  Three is here.\nFour is here. Five is here."
    assert cut(SentenceWindows(size=30, overlap=0), text) == [
        "One is here. Two is here.",
        "Three is here.\nFour is here.",
        "Five is here.",
    ]


def test_a_window_repeats_sentences_up_to_the_overlap():
    text = "One is here. Two is here. Three is here. Four is here. Five is here. Six is here."
    windows = cut(SentenceWindows(size=40, overlap=15), text)
    assert windows == [
        "One is here. Two is here. Three is here.",
        "Three is here. Four is here.",
        "Four is here. Five is here. Six is here.",
    ]


def test_a_paragraph_ends_a_window_before_a_sentence_does():
    text = "One one one one. Two two two two.\n\nThree three. Four four. Five five. Six six. Seven."
    assert cut(SentenceWindows(size=60, overlap=0), text)[0] == "One one one one. Two two two two."


def test_a_sentence_too_long_is_cut_between_words():
    text = "Short one. " + " ".join(f"word{number:02d}" for number in range(20)) + ". Short two."
    windows = cut(SentenceWindows(size=50, overlap=0), text)
    assert " ".join(windows) == text
    assert all(len(window) <= 50 for window in windows)
    assert all(window.split()[0] in ("Short", *(f"word{number:02d}" for number in range(20))) for window in windows)


def test_a_word_too_long_is_cut_between_letters():
    text = "before " + 3000 * "👩\u200d👩\u200d👧" + " behind"
    windows = cut(SentenceWindows(size=100, overlap=0), text)
    assert sum(window.count("👧") for window in windows) == 3000
    assert max(map(len, windows)) <= 100


def test_markdown_is_cut_at_its_headings():
    assert cut(MarkdownHeadings(), GUIDE) == [
        "---\nname: guide\n---\nA few words first.",
        "# Guide\n\n## Install\nRun `pip`.\n\n```sh\n# not a heading\npip install it\n\n## nor this\n```",
        "Underlined\n==========\nText.\n#hashtag and ```inline``` code",
        "### Ende Ü 😀\nx",
    ]


def test_a_fence_that_is_never_closed_reaches_to_the_end():
    text = "# One\nx\n~~~~\n# Two\n~~~\n# Three"
    assert cut(MarkdownHeadings(), text) == [text]
    assert cut(MarkdownHeadings(), text + "\n~~~~\n# Four\ny") == [text + "\n~~~~", "# Four\ny"]


def test_a_long_section_is_cut_at_its_paragraphs():
    text = "# One\nFirst paragraph here.\n\nSecond paragraph here.\n\n# Two\nShort."
    assert cut(MarkdownHeadings(size=40), text) == [
        "# One\nFirst paragraph here.",
        "Second paragraph here.",
        "# Two\nShort.",
    ]


def test_markdown_without_headings_is_cut_like_text():
    text = prose(np.random.default_rng(3), 10)
    assert cut(MarkdownHeadings(size=500), text) == cut(SentenceWindows(size=500, overlap=0), text)


@pytest.mark.parametrize("make", [prose, table, words_only])
@pytest.mark.parametrize(
    "chunker",
    [SentenceWindows(size=400, overlap=0), SentenceWindows(size=400, overlap=100), MarkdownHeadings(size=400)],
    ids=["windows", "overlapping", "markdown"],
)
@pytest.mark.parametrize("n_paragraphs", [15, 60])
def test_an_edit_changes_few_spans_however_long_the_document(make, chunker, n_paragraphs):
    rng = np.random.default_rng(7)
    counts = []
    for _ in range(8):
        text = make(rng, n_paragraphs)
        place = text.index(" ", 300) + 1
        counts.append(n_new(chunker, text, text[:place] + "new words " + text[place:]))
    assert max(counts) <= 12
    assert np.mean(counts) <= 3.5
    assert len(cut(chunker, text)) > n_paragraphs / 2


@pytest.mark.parametrize("what", ["changed", "removed", "added"])
def test_a_paragraph_in_the_middle_changes_few_spans(what):
    text = prose(np.random.default_rng(11), 40)
    paragraphs = text.split("\n\n")
    other = prose(np.random.default_rng(12), 1)
    middle = {"changed": [other], "removed": [], "added": [paragraphs[20], other]}[what]
    after = "\n\n".join([*paragraphs[:20], *middle, *paragraphs[21:]])
    assert n_new(SentenceWindows(), text, after) <= 6


def test_a_function_cuts_and_its_name_stands_for_it():
    def halves(_):
        return [(0, 2), (np.int64(2), np.int64(4))]

    chunker = CallableChunker(halves, name="halves", version="1")
    assert chunker.spans(Document("d", "abcd")) == [(0, 2), (2, 4)]
    assert [type(value) for span in chunker.spans(Document("d", "abcd")) for value in span] == [int] * 4
    assert chunker == CallableChunker(None, name="halves", version="1")
    assert chunker != CallableChunker(halves, name="halves", version="2")


def test_a_function_that_is_not_at_hand_is_asked_for():
    kept = chunker_from_dict(CallableChunker(len, name="pages", version="3").as_dict())
    with pytest.raises(InputError, match=r"give CallableChunker\(function, name='pages', version='3'\)"):
        kept.spans(Document("d", "text"))


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("pages", " "), (3, "1"), ("pages", None)])
def test_a_function_needs_name_and_version(name, version):
    with pytest.raises(InputError, match="give a string that is not blank"):
        CallableChunker(len, name=name, version=version)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([], "document 'd' was cut into no span"),
        ([(0, 3), (3, 12)], r"span \(3, 12\) is empty or outside its text of 11 characters"),
        ([(-1, 3)], "outside its text"),
        ([(4, 4)], "is empty or outside"),
        ([(5, 4)], "is empty or outside"),
        ([(4, 6), (0, 3)], r"span \(0, 3\) comes after \(4, 6\)"),
        ([(0, 3), (0, 3)], r"span \(0, 3\) comes after \(0, 3\)"),
        ([(3, 4)], "white space only"),
        ([(0.0, 3)], "not a pair of integers"),
        ([(False, True)], "not a pair of integers"),
        ([(0, 3, 4)], "not a pair of integers"),
        (["ab"], "span 'ab' is not a pair of integers"),
        ([3], "span 3 is not a pair of integers"),
    ],
)
def test_spans_that_cannot_be_kept_are_refused(spans, message):
    document = Document("d", "One Two Six")
    with pytest.raises(InputError, match=message):
        checked_spans(document, spans)
    with pytest.raises(InputError, match=message):
        CallableChunker(lambda _: spans, name="wrong", version="1").spans(document)


def test_spans_may_overlap_nest_and_leave_text_out():
    spans = [(0, 3), (0, 7), (2, 5), (8, 9)]
    assert checked_spans(Document("d", "One Two Six"), iter(spans)) == spans


def test_a_blank_text_takes_no_other_span():
    with pytest.raises(InputError, match=r"its only span is \(0, 2\); got \[\]"):
        checked_spans(Document("d", "  ", title="t"), [])


@pytest.mark.parametrize(
    ("text", "chunker"),
    [
        ("none", WholeText()),
        ("sentences", SentenceWindows(size=800, overlap=200)),
        ("sentences:size=600", SentenceWindows(size=600, overlap=200)),
        (" sentences:overlap=0, size=100 ", SentenceWindows(size=100, overlap=0)),
        ("markdown:size=1500", MarkdownHeadings(size=1500)),
    ],
)
def test_a_text_names_a_chunker(text, chunker):
    assert parse_chunker(text) == chunker


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown kind ''"),
        ("words", "unknown kind 'words'; known are none, sentences:size=800,overlap=200 and markdown:size=1000"),
        ("none:size=3", "'size=3' is not a setting of 'none'"),
        ("markdown:overlap=3", "'overlap=3' is not a setting of 'markdown'"),
        ("sentences:", "'' is not a setting"),
        ("sentences:size=50,size=60", "comes twice"),
        ("sentences:size", "size is '', not a whole number"),
        ("sentences:size=-5", "size is '-5', not a whole number"),
        ("sentences:size=²", "not a whole number"),
        ("sentences:size=19", "size is 19; give an integer of at least 20"),
        ("sentences:size=300", r"overlap is 200; give an integer from 0 to half of size \(150\)"),
    ],
)
def test_a_text_that_names_no_chunker_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_chunker(text)


@pytest.mark.parametrize("settings", [{"size": 100.0}, {"size": True}, {"size": 100, "overlap": 51}, {"overlap": -1}])
def test_sizes_outside_their_range_are_refused(settings):
    with pytest.raises(InputError, match="give an integer"):
        SentenceWindows(**settings)


@pytest.mark.parametrize("values", [{}, {"kind": "words"}, {"kind": "sentences"}, {"kind": "callable", "name": "x"}])
def test_values_of_no_chunker_are_refused(values):
    with pytest.raises(InputError, match="are not the values of a chunker"):
        chunker_from_dict(values)


def test_another_chunker_is_refused_with_both_fingerprints():
    stored, given = SentenceWindows(size=500), SentenceWindows(size=600)
    with pytest.raises(InputError, match="size 500 against 600") as caught:
        require_same_chunker(stored.as_dict(), given, here="index 'faq'")
    assert stored.fingerprint in str(caught.value)
    assert given.fingerprint in str(caught.value)
    with pytest.raises(InputError, match="version '1' against '2'"):
        require_same_chunker(
            CallableChunker(None, name="f", version="1").as_dict(),
            CallableChunker(None, name="f", version="2"),
            here="index 'faq'",
        )
