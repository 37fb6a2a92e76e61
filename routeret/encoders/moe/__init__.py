"""One encoder for several domains: a mixture of experts whose feed-forward layers are chosen by the domain of a text.

The model of "Contrastive learning and mixture of experts enables precise vector embeddings" (arXiv 2401.15713).
Importing this loads PyTorch and makes the classes known to transformers, so that ``AutoModel.from_pretrained`` opens
what :func:`upcycle` writes.
"""

from transformers import AutoConfig, AutoModel

from routeret.encoders.moe.configuration import MODEL_TYPE, MoeConfig
from routeret.encoders.moe.encoder import MoeEncoder
from routeret.encoders.moe.modelling import MoeModel
from routeret.encoders.moe.upcycling import upcycle

__all__ = ["MODEL_TYPE", "MoeConfig", "MoeEncoder", "MoeModel", "upcycle"]

AutoConfig.register(MODEL_TYPE, MoeConfig, exist_ok=True)
AutoModel.register(MoeConfig, MoeModel, exist_ok=True)
