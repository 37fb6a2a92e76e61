"""Token vectors in an index: kept in step with the documents, beside one vector a span."""

import sqlite3

import numpy as np
import pytest
from word_tokens import WordTokens, kept, tokens_by_id

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, InputError
from routeret.index import Index, changing, segments
from routeret.index import adding as adding_module
from routeret.index.row_format import RowFormat
from routeret.index.tokens import PackedTokens, append_tokens
from routeret.types import Document, EncodedDocuments

BASE, OWN = HashingEncoder(dim=8), WordTokens(dim=12)
BOTH = [BASE, OWN]
TEXTS = {"a": "red tea", "b": "green tea is mild", "c": "x"}
SPACE = OWN.space


def corpus(texts):
    return Corpus.of([Document(id=name, text=text) for name, text in texts.items()])


@pytest.fixture(params=["fp16", "int8"])
def storage(request):
    return request.param


@pytest.fixture
def index(tmp_path, storage):
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add(corpus(TEXTS), BASE)
        index.add_space(OWN, tokens=storage)
        yield index


def require_tokens_of(index, texts, storage):
    found = tokens_by_id(index, SPACE)
    assert list(found) == list(texts)
    for name, text in texts.items():
        np.testing.assert_array_equal(found[name][0], kept(OWN.tokens(text.split()), storage))


def test_tokens_follow_the_documents(index, storage):
    require_tokens_of(index, TEXTS, storage)
    index.add(corpus({"d": "iced green tea"}), BOTH)
    index.upsert(corpus({"b": "black tea"}), BOTH)
    index.delete(["a"])
    expected = {"c": "x", "d": "iced green tea", "b": "black tea"}
    require_tokens_of(index, expected, storage)
    assert index.compact() == 2
    require_tokens_of(index, expected, storage)
    index.sync(corpus({"b": "black tea", "e": "milk"}), BOTH)
    require_tokens_of(index, {"b": "black tea", "e": "milk"}, storage)
    assert index.verify() == []


def test_rows_come_in_the_order_asked_for(index, storage):
    vectors, counts = index.token_vectors(np.array([2, 0, 2]), space=SPACE)
    assert (vectors.dtype, counts.dtype) == (np.float32, np.int64)
    assert counts.tolist() == [1, 2, 1]
    expected = kept(OWN.tokens(["x", "red", "tea", "x"]), storage)
    np.testing.assert_array_equal(vectors, expected)
    none, counts = index.token_vectors(np.zeros(0, dtype=np.int64), space=SPACE)
    assert (none.shape, counts.tolist()) == ((0, 12), [])


def test_info_counts_tokens_and_bytes(index, storage):
    held = index.info()["spaces"][SPACE.fingerprint]
    token_bytes = {"fp16": 2 * 12, "int8": 4 + 12}[storage]
    # 2 + 4 + 1 tokens, and a number of 8 bytes for each of the 3 rows.
    assert held["tokens"] == {"storage": storage, "tokens": 7, "bytes": 7 * token_bytes + 3 * 8}
    assert held["rows"] == 3
    files = [path for path in (index.folder / "vectors").glob("*.*/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) == held["tokens"]["bytes"]
    assert "tokens" not in index.info()["spaces"][BASE.space.fingerprint]


def test_errors_of_the_precisions_are_bounded():
    vectors = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
    half, small = RowFormat("fp16", 12), RowFormat("int8", 12)
    # float16 has 11 significant bits; a byte is at most half a step of 1 / 127 of the largest magnitude away.
    np.testing.assert_allclose(half.unpacked(half.packed(vectors)), vectors, rtol=2**-11, atol=2**-24)
    error = np.abs(small.unpacked(small.packed(vectors)) - vectors)
    assert (error <= np.abs(vectors).max(axis=1, keepdims=True) / 254 * 1.0001).all()


def test_what_has_not_changed_keeps_its_tokens_without_embedding(index, storage, monkeypatch):
    monkeypatch.setattr(WordTokens, "encode_document_tokens", lambda *_: pytest.fail("embedded again"))
    index.upsert(Corpus.of([Document(id="b", text=TEXTS["b"], metadata={"year": 2020})]), BOTH)
    require_tokens_of(index, {"a": TEXTS["a"], "c": TEXTS["c"], "b": TEXTS["b"]}, storage)


def test_a_document_is_embedded_once_for_vector_and_tokens(tmp_path, monkeypatch):
    calls = []

    def noting(encoder, documents):
        calls.append([document.id for document in documents])
        tokens = [encoder.tokens(document.text.split()) for document in documents]
        vectors = np.stack([one.mean(axis=0) for one in tokens])
        return EncodedDocuments(vectors, np.zeros(len(documents), dtype=np.bool_)), tokens

    monkeypatch.setattr(WordTokens, "encode_document_tokens", noting)
    monkeypatch.setattr(WordTokens, "encode_documents", lambda *_: pytest.fail("embedded twice"))
    monkeypatch.setattr(WordTokens, "tokens", lambda _, words: np.ones((len(words), 12), dtype=np.float32))
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add_space(OWN, tokens="fp16")
        index.add(corpus(TEXTS), BOTH)
        assert index.vectors(index.live_rows, space=SPACE).tolist() == [[1.0] * 12] * 3
    assert [sorted(ids) for ids in calls] == [["a", "b", "c"]]


def test_a_space_that_is_there_gets_tokens(tmp_path, storage):
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add(corpus(TEXTS), BASE)
        index.delete(["c"])
        index.add_space(OWN)
        before = index.vectors(np.arange(3), space=SPACE)
        with pytest.raises(InputError, match="holds the tokens of 0 of 3 rows"):
            index.token_vectors(np.array([0]), space=SPACE)
        assert index.add_space(OWN, tokens=storage) == 3
        np.testing.assert_array_equal(index.vectors(np.arange(3), space=SPACE), before)
        require_tokens_of(index, {"a": TEXTS["a"], "b": TEXTS["b"]}, storage)
        assert index.add_space(OWN, tokens=storage) == 0
        assert index.verify() == []


def test_adding_tokens_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(changing, "_EMBEDDED_ROWS_WITH_TOKENS", 2)
    embed = WordTokens.encode_document_tokens
    calls = []

    def failing(encoder, documents):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no memory")
        return embed(encoder, documents)

    monkeypatch.setattr(WordTokens, "encode_document_tokens", failing)
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add(corpus(TEXTS), BASE)
        with pytest.raises(RuntimeError, match="no memory"):
            index.add_space(OWN, tokens="fp16")
        index.refresh()
        assert index.info()["spaces"][SPACE.fingerprint]["rows"] == 2
        with pytest.raises(InputError, match="holds 2 of 3 rows, since adding it was interrupted"):
            index.add(corpus({"d": "milk"}), BOTH)
        assert index.add_space(OWN, tokens="fp16") == 1
        require_tokens_of(index, TEXTS, "fp16")


def test_blocks_are_small_where_tokens_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS_WITH_TOKENS", 2)
    calls = []
    embed = WordTokens.encode_document_tokens

    def noting(encoder, documents):
        calls.append(len(documents))
        return embed(encoder, documents)

    monkeypatch.setattr(WordTokens, "encode_document_tokens", noting)
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add_space(OWN, tokens="fp16")
        index.add(corpus(TEXTS), BOTH)
        require_tokens_of(index, TEXTS, "fp16")
    assert calls == [2, 1]


def test_blocks_are_small_where_texts_are_long(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_CHARACTERS_WITH_TOKENS", 7)
    calls = []
    embed = WordTokens.encode_document_tokens

    def noting(encoder, documents):
        calls.append(sorted(document.id for document in documents))
        return embed(encoder, documents)

    monkeypatch.setattr(WordTokens, "encode_document_tokens", noting)
    # 1, 7, 6, 2 and 1 characters: a block ends with the document that brings it to 7.
    texts = {"c": "x", "a": "red tea", "d": "a milk", "e": "ab", "f": "y"}
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add_space(OWN, tokens="fp16")
        index.add(corpus(texts), BOTH)
        require_tokens_of(index, texts, "fp16")
        assert index.verify() == []
    assert calls == [["a", "c"], ["d", "e"], ["f"]]


def test_tokens_are_dropped_and_the_vectors_stay(index, storage):
    before = index.info()["spaces"][SPACE.fingerprint]
    index.drop_tokens(SPACE)
    held = index.info()["spaces"][SPACE.fingerprint]
    assert held == {name: value for name, value in before.items() if name != "tokens"}
    assert not list(index.folder.glob("vectors/*.tokens")) + list(index.folder.glob("vectors/*.ends"))
    assert index.verify() == []
    with pytest.raises(InputError, match=f"keeps no tokens of space {SPACE.fingerprint}; there is nothing to drop"):
        index.drop_tokens(SPACE)
    index.add_space(OWN, tokens={"fp16": "int8", "int8": "fp16"}[storage])
    require_tokens_of(index, TEXTS, {"fp16": "int8", "int8": "fp16"}[storage])


def test_what_cannot_be_kept_is_refused_and_changes_nothing(index, storage, tmp_path):
    other = {"fp16": "int8", "int8": "fp16"}[storage]
    with pytest.raises(InputError, match=f"as {storage}, wanted is {other}"):
        index.add_space(OWN, tokens=other)
    with pytest.raises(InputError, match="token storage is 'fp32', expected one of fp16, int8"):
        index.add_space(OWN, tokens="fp32")
    with pytest.raises(InputError, match=rf"in space {SPACE.fingerprint}, and HashingEncoder gives none"):
        index.add(corpus({"d": "milk"}), [BASE, HashingEncoder(dim=12)])
    require_tokens_of(index, TEXTS, storage)
    with Index.create(tmp_path / "other", BASE.space) as other_index:
        with pytest.raises(InputError, match="HashingEncoder gives none"):
            other_index.add_space(HashingEncoder(dim=12), tokens=storage)
        assert len(other_index.spaces) == 1


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([np.zeros((0, 12), dtype=np.float32)], r"shape \(0, 12\) for document 'd'"),
        ([np.zeros((2, 11), dtype=np.float32)], r"shape \(2, 11\) for document 'd'"),
        ([np.full((1, 12), np.nan, dtype=np.float32)], "a token vector of document 'd'"),
        ([], "token vectors of 0 documents for 1 from 'd' on"),
    ],
)
def test_unusable_tokens_are_refused(index, storage, monkeypatch, tokens, message):
    monkeypatch.setattr(WordTokens, "encode_document_tokens", lambda one, them: (one.encode_documents(them), tokens))
    with pytest.raises(InputError, match=message):
        index.add(corpus({"d": "milk"}), BOTH)
    require_tokens_of(index, TEXTS, storage)


def test_numbers_beyond_float16_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(WordTokens, "tokens", lambda _, words: np.full((len(words), 12), 1e5, dtype=np.float32))
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add_space(OWN, tokens="fp16")
        with pytest.raises(InputError, match="a number beyond fp16"):
            index.add(corpus(TEXTS), BOTH)


def test_dropping_the_space_removes_its_tokens(index):
    index.drop_space(SPACE)
    assert [path.name for path in (index.folder / "vectors").iterdir()] == [BASE.space.fingerprint]
    index.add(corpus({"d": "milk"}), BASE)
    assert index.verify() == []
    index.add_space(OWN)
    assert "tokens" not in index.info()["spaces"][SPACE.fingerprint]


def test_many_parts_are_written_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "BLOCK_ROWS", 3)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 7)
    row_format, counts = RowFormat("fp16", 2), np.array([2, 0, 5, 1, 9, 0])
    tokens = np.arange(34, dtype=np.float16).reshape(17, 2)
    ends = np.cumsum(counts)
    parts = [
        PackedTokens(tokens[end - count : end], counts[row : row + 1])
        for row, (count, end) in enumerate(zip(counts, ends, strict=True))
    ]
    written = [
        append_tokens(
            tmp_path / name,
            given,
            space="s",
            row_format=row_format,
            tail=lambda _: segments.tail_behind(None, None, next_file=0),
        )
        for name, given in (("one", [PackedTokens(tokens, counts)]), ("many", parts))
    ]
    assert written[0] == written[1]
    assert [(one.file, one.first_row, one.n_rows) for one in written[1][0].segments] == [
        ("000000.f16", 0, 7),
        ("000001.f16", 7, 7),
        ("000002.f16", 14, 3),
    ]
    for stream, content in (("s.tokens", tokens), ("s.ends", ends)):
        files = sorted((tmp_path / "many" / "vectors" / stream).iterdir())
        assert b"".join(path.read_bytes() for path in files) == content.tobytes()


def test_a_reader_keeps_its_tokens_while_the_index_is_compacted(index, storage):
    with Index.open(index.folder) as reader:
        index.delete(["a"])
        index.compact()
        require_tokens_of(reader, TEXTS, storage)
        reader.refresh()
        require_tokens_of(reader, {"b": TEXTS["b"], "c": TEXTS["c"]}, storage)


@pytest.mark.parametrize("part", ["ends", "tokens"])
def test_a_damaged_token_file_is_named(index, part):
    index.delete(["a"])
    index.close()
    (path,) = (index.folder / "vectors" / f"{SPACE.fingerprint}.{part}").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with Index.open(index.folder) as opened:
        assert [damage.path for damage in opened.verify()] == [str(path)]
        with pytest.raises(ArtifactError, match=f"{path.name} is damaged in rows"):
            opened.compact()
        with pytest.raises(ArtifactError, match=f"{path.name} is damaged in its rows from 0 on"):
            opened.add(corpus({"d": "milk"}), BOTH)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{path.name} is missing"):
        Index.open(index.folder)
    # What a writer that died left behind the last commit is no damage.
    path.write_bytes(whole + b"left over")
    path.with_name("000099.i64").write_bytes(b"left over")
    with Index.open(index.folder) as opened:
        assert opened.verify() == []
        opened.add(corpus({"d": "milk"}), BOTH)
        assert not path.with_name("000099.i64").exists()
        assert opened.verify() == []


def test_ends_that_do_not_meet_the_tokens_are_found(index):
    index.close()
    with sqlite3.connect(index.folder / "store.sqlite") as connection:
        for table in ("segments", "blocks"):
            connection.execute(f"DELETE FROM {table} WHERE space = ?", (f"{SPACE.fingerprint}.tokens",))
    connection.close()
    with Index.open(index.folder) as opened:
        (damage,) = opened.verify()
        assert "do not end where its rows' do" in damage.reason
        assert not damage.derived


def test_only_an_index_with_tokens_has_format_3(tmp_path):
    def found_format(folder):
        with sqlite3.connect(folder / "store.sqlite") as connection:
            ((value,),) = connection.execute("SELECT value FROM meta WHERE name = 'format'")
        connection.close()
        return value

    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add_space(OWN)
        assert found_format(index.folder) == "2"
        index.add_space(OWN, tokens="int8")
        assert found_format(index.folder) == "3"
