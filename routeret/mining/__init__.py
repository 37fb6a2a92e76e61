"""Training data from links: pairs that are cited together, and graphs between two sets of entities."""

from routeret.mining.beir_graphs import JudgedSet, graph_of_qrels, sentence_graph
from routeret.mining.bipartite import BipartiteReport, mine_bipartite
from routeret.mining.cocitations import CocitationReport, mine_cocitations
from routeret.mining.graph import BipartiteGraph
from routeret.mining.pair_graph import graph_of_pairs
from routeret.mining.splitting import DocumentSplit, parse_split

__all__ = [
    "BipartiteGraph",
    "BipartiteReport",
    "CocitationReport",
    "DocumentSplit",
    "JudgedSet",
    "graph_of_pairs",
    "graph_of_qrels",
    "mine_bipartite",
    "mine_cocitations",
    "parse_split",
    "sentence_graph",
]
