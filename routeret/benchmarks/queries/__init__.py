"""What one query costs: plain, routed, through an adapter, and by what else a model can be run with."""
