"""What an exported graph calls its inputs and its output."""

OUTPUT = "vectors"
SCALE = "scale"


def matrix_names(n_layers: int) -> list[str]:
    """The matrices of adapters: A of every layer, then B of every layer."""
    return [f"{letter}{place}" for letter in "AB" for place in range(n_layers)]
