"""What building an index costs: texts into vectors, and the whole build, beside what others do with the same model."""
