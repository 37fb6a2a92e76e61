"""A data set with what BEIR's own hold: titles that are empty, grades, queries that are documents of the corpus."""

import json

COLOURS = ["red", "blue", "green", "white", "dark"]
THINGS = ["apple", "boat", "house", "river", "stone", "lamp", "coat", "bridge"]


def write_things(folder):
    """A BEIR folder of 40 documents, one a colour and thing; 13 queries, of which 3 are documents themselves."""
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {
            "_id": f"{colour}-{thing}",
            "title": "" if number % 3 else f"{thing} of ours",
            "text": f"a {colour} {thing}"
            + (" über dem Fluß" if number % 4 == 0 else f" and one more {colour} {thing}"),
        }
        for number, (colour, thing) in enumerate((colour, thing) for colour in COLOURS for thing in THINGS)
    ]
    by_id = {one["_id"]: one for one in documents}
    queries = {f"q{number}": f"{COLOURS[number % 5]} {THINGS[number % 8]} please" for number in range(10)}
    queries |= {
        name: f"{by_id[name]['title']} {by_id[name]['text']}" for name in ("red-apple", "blue-lamp", "dark-coat")
    }
    qrels = []
    for number, name in enumerate(queries):
        colour, thing = name.split("-") if "-" in name else (COLOURS[number % 5], THINGS[number % 8])
        other_colour = COLOURS[(COLOURS.index(colour) + 1) % 5]
        other_thing = THINGS[(THINGS.index(thing) + 1) % 8]
        best = f"{other_colour}-{thing}" if "-" in name else f"{colour}-{thing}"
        qrels += [(name, best, 2), (name, f"{colour}-{other_thing}", 1)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in queries.items()])
    judged = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in qrels)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


def write_lines(path, values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
