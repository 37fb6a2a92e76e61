"""How much a tokenizer is given at once."""

CHARACTERS_PER_TOKEN = 64
"""A text is first read up to this many characters per token of the limit: a tokenizer reads a text to its end before
it cuts, so one of many megabytes would take gigabytes."""

TEXTS_PER_CALL = 256
"""Until a call of a tokenizer ends, what it cuts off takes many times the memory of the texts."""
