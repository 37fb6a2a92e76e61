"""A tiny BERT of the e5 kind, written file by file without any model library."""

import json
import os
import string
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

WIDTH = 32
POSITIONS = 24
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["query", "passage", "bank", "card", "river", "water", "tax", "return", ":", "ü"]
LETTERS = [prefix + letter for prefix in ("", "##") for letter in string.ascii_lowercase + string.digits]
VOCABULARY = SPECIAL + WORDS + LETTERS


def pytest_configure():
    """Export no graphs into the cache of whoever runs the tests, and take none from there."""
    os.environ["ROUTERET_GRAPHS"] = "off"


class TinyModels:
    """Writes tiny models."""

    def write(self, folder: Path, *, prompts=None, similarity="cosine", normalize=True, dense=None, max_tokens=16):
        """A sentence-transformers folder whose weights are whole thousandths, the same on every machine."""
        folder.mkdir(parents=True)
        modules = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalize else [])]
        entries = [
            {
                "idx": position,
                "name": str(position),
                "path": "" if kind == "Transformer" else f"{position}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for position, kind in enumerate(modules)
        ]
        write_json(folder / "modules.json", entries)
        settings = {"prompts": prompts or {}, "default_prompt_name": None, "similarity_fn_name": similarity}
        write_json(folder / "config_sentence_transformers.json", settings)
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
        write_json(folder / "config.json", BERT_CONFIG)
        of_tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "tokenize_chinese_chars": True}
        write_json(folder / "tokenizer_config.json", of_tokenizer)
        write_json(folder / "tokenizer.json", tokenizer())
        (folder / "1_Pooling").mkdir()
        pooling = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
        write_json(folder / "1_Pooling" / "config.json", pooling)
        save_file(bert_weights(), folder / "model.safetensors", metadata={"format": "pt"})
        if dense:
            (folder / "2_Dense").mkdir()
            config = {"in_features": WIDTH, "out_features": dense, "bias": True}
            activation = {"activation_function": "torch.nn.modules.linear.Identity"}
            write_json(folder / "2_Dense" / "config.json", {**config, **activation})
            weights = {"linear.weight": thousandths(1, (dense, WIDTH)), "linear.bias": thousandths(2, (dense,))}
            save_file(weights, folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})
        return folder


BERT_CONFIG = {
    "_name_or_path": "somebody/tiny",
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "model_type": "bert",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "transformers_version": "4.57.0",
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
}


def write_json(path, values):
    path.write_text(json.dumps(values), encoding="utf-8")


def thousandths(seed, shape):
    """Numbers from -0.4 to 0.4 that every machine computes alike."""
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64) + 1000003 * seed
    return (((numbers * 7919 + (numbers // 97) * 31) % 801 - 400) / 1000).astype(np.float32).reshape(shape)


def bert_weights():
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{layer}.{name}.weight": (WIDTH, WIDTH), f"{layer}.{name}.bias": (WIDTH,)}
        inner, outer = f"{layer}.intermediate.dense", f"{layer}.output.dense"
        shapes |= {f"{inner}.weight": (2 * WIDTH, WIDTH), f"{inner}.bias": (2 * WIDTH,)}
        shapes |= {f"{outer}.weight": (WIDTH, 2 * WIDTH), f"{outer}.bias": (WIDTH,)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    weights = {name: thousandths(seed, shape) for seed, (name, shape) in enumerate(sorted(shapes.items()))}
    for name in norms:
        weights[f"{name}.weight"] = np.ones(WIDTH, dtype=np.float32)
        weights[f"{name}.bias"] = np.zeros(WIDTH, dtype=np.float32)
    return weights


def tokenizer():
    """A lower-casing WordPiece tokenizer that spells unknown words letter by letter."""
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    added = [
        {"id": ids[token], "content": token, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for token in SPECIAL
    ]
    normalizer = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    wordpiece = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    start = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    end, last = ({"SpecialToken": {"id": "[SEP]", "type_id": kind}} for kind in (0, 1))
    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    specials = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
    template = {"single": [start, first, end], "pair": [start, first, end, second, last], "special_tokens": specials}
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", **template},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", **wordpiece, "vocab": ids},
    }


@pytest.fixture(scope="session")
def tiny_models() -> TinyModels:
    return TinyModels()


@pytest.fixture(scope="session")
def e5_model(tiny_models, tmp_path_factory) -> Path:
    """A tiny model that wants "query: " and "passage: "; read only."""
    folder = tmp_path_factory.mktemp("models") / "tiny-e5"
    return tiny_models.write(folder, prompts={"query": "query: ", "passage": "passage: "})


@pytest.fixture(scope="session")
def graphs(e5_model, tmp_path_factory) -> Path:
    """A folder with the exported graph of the tiny model, for ``ROUTERET_GRAPHS``; read only."""
    from routeret.encoders import OnnxEncoder

    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUTERET_GRAPHS", str(folder))
        assert OnnxEncoder(e5_model).prepare()
    return folder


@pytest.fixture
def own_model(tiny_models, tmp_path) -> Path:
    """The same model, for one test to change."""
    return tiny_models.write(tmp_path / "tiny", prompts={"query": "query: ", "passage": "passage: "})
