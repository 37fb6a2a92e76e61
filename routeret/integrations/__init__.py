"""Other libraries' own ways to run a retriever: a module a library, each behind its extra."""
