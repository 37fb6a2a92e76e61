"""What every encoder must do, whatever runs inside."""

import re

import numpy as np
import pytest

from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.errors import InputError
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import Document, EncodedDocuments

TEXTS = ["bank card", "", "river water", "ü", "bank card"]


@pytest.fixture(scope="module", params=["hashing", "torch", "torch with a projection", "torch without unit length"])
def encoder(request, tiny_models, tmp_path_factory):
    if request.param == "hashing":
        return HashingEncoder(16, document_prompt="passage: ", query_prompt="query: ")
    dense = 6 if "projection" in request.param else None
    form = {"similarity": "dot", "normalize": False} if "unit length" in request.param else {}
    folder = tmp_path_factory.mktemp("contract") / "model"
    return TorchEncoder(tiny_models.write(folder, dense=dense, **form), device="cpu", precision="float32")


def test_it_is_an_encoder(encoder):
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder.space, Space)
    assert re.fullmatch("[0-9a-f]{16}", encoder.query_tower)
    assert re.fullmatch("[0-9a-f]{64}", encoder.space.model)


def test_queries_have_the_shape_of_the_space(encoder):
    vectors = encoder.encode_queries(TEXTS)
    assert vectors.shape == (5, encoder.space.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_documents_have_the_shape_of_the_space(encoder):
    encoded = encoder.encode_documents([Document(str(row), text) for row, text in enumerate(TEXTS)])
    assert isinstance(encoded, EncodedDocuments)
    assert encoded.vectors.shape == (5, encoder.space.dim)
    assert encoded.vectors.dtype == np.float32
    assert encoded.truncated.tolist() == [False] * 5


def test_lengths_are_what_the_space_says(encoder):
    lengths = np.linalg.norm(encoder.encode_queries(TEXTS), axis=1)
    assert np.allclose(lengths, 1.0, atol=1e-5) == encoder.space.unit_length


def test_equal_texts_have_equal_vectors(encoder):
    vectors = encoder.encode_queries(TEXTS)
    np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS[:1])[0], vectors[0], atol=1e-5)


def test_title_and_text_are_joined_as_the_space_says(encoder):
    document = Document("1", "water", "river")
    joined = Document("1", encoder.space.joined(title="river", text="water"))
    first, second = (encoder.encode_documents([one]).vectors for one in (document, joined))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_metadata_and_ids_do_not_count(encoder):
    plain, other = Document("1", "water"), Document("2", "water", metadata={"lang": "en"})
    first, second = (encoder.encode_documents([one]).vectors for one in (plain, other))
    np.testing.assert_array_equal(first, second)


def test_nothing_gives_nothing(encoder):
    assert encoder.encode_queries([]).shape == (0, encoder.space.dim)
    assert encoder.encode_documents([]).vectors.shape == (0, encoder.space.dim)
    assert encoder.encode_documents([]).truncated.shape == (0,)


def test_a_bare_string_is_refused(encoder):
    with pytest.raises(InputError, match="found one string 'bank', expected a list of strings"):
        encoder.encode_queries("bank")
    with pytest.raises(InputError, match="found one str, expected a list of documents"):
        encoder.encode_documents("bank")


def test_a_bare_document_is_refused(encoder):
    with pytest.raises(InputError, match="found one Document, expected a list of documents"):
        encoder.encode_documents(Document("1", "bank"))


def test_elements_of_another_kind_are_refused(encoder):
    with pytest.raises(InputError, match="text 1 is a NoneType, expected str"):
        encoder.encode_queries(["bank", None])
    with pytest.raises(InputError, match="document 0 is a str, expected a routeret Document"):
        encoder.encode_documents(["bank"])
