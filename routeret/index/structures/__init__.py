"""What finds the best rows of an index: exact search, and FAISS structures derived from the stored vectors."""
