from hypothesis import given
from hypothesis import strategies as st

from routeret.chunking import MarkdownHeadings, SentenceWindows, checked_spans
from routeret.chunking.units import sentence_spans
from routeret.types import Document

PIECES = ["Word", "two", ". ", "! ", "。", " ", "\n", "\n\n", "\r\n", "\n \n", "# H", "```", "=====", "---", "é", "😀"]
PIECES += ["👩\u200d👧", "\u2029", "\x85", "\u00a0", "\x1f", "e.g. ", "3.5", "(", '"', ",", "漢字" * 30, "x" * 70]

texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=120)
sizes = st.integers(20, 120)


@st.composite
def windows(draw):
    size = draw(sizes)
    return SentenceWindows(size=size, overlap=draw(st.integers(0, size // 2)))


chunkers = windows() | sizes.map(lambda size: MarkdownHeadings(size=size))


def visible(text, start=0):
    """Places of the characters that are not white space."""
    return {place for place, letter in enumerate(text, start) if not letter.isspace()}


@given(texts, chunkers)
def test_spans_can_be_kept_fit_and_leave_nothing_out(text, chunker):
    document = Document("d", text)
    spans = chunker.spans(document)
    assert checked_spans(document, spans) == spans
    assert chunker.spans(document) == spans
    if text.strip():
        assert max(end - start for start, end in spans) <= chunker.size
        assert visible(text) == set().union(*(visible(text[start:end], start) for start, end in spans))
        assert all(text[start:end] == text[start:end].strip() for start, end in spans)


@given(texts, windows())
def test_windows_cut_no_sentence_that_fits(text, chunker):
    sentences = sentence_spans(text)
    inside = {place for start, end in sentences if end - start <= chunker.size for place in range(start + 1, end)}
    for start, end in chunker.spans(Document("d", text)) if text.strip() else []:
        assert start not in inside
        assert end not in inside


@given(texts, windows())
def test_windows_move_on_and_repeat_no_more_than_the_overlap(text, chunker):
    spans = chunker.spans(Document("d", text))
    for before, after in zip(spans, spans[1:], strict=False):
        assert before[0] < after[0]
        assert before[1] < after[1]
        assert before[1] - after[0] <= chunker.overlap


@given(st.lists(st.sampled_from(["One two.", "Three four five!", "# Head", "Six\nseven", "漢字。"]), max_size=30))
def test_sentences_do_not_depend_on_the_block(pieces):
    text = " ".join(pieces)
    assert sentence_spans(text, block=7) == sentence_spans(text, block=10**6)
