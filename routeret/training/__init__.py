"""Training experts and building packs of them."""

from routeret.training.pack import PackReport, build_pack

__all__ = ["PackReport", "build_pack"]
