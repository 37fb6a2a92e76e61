"""What is measured: ways from a text to the best documents."""
