"""The command line: one file a command; a command is imported when it is used."""

from routeret.cli.group import LazyGroup

main = LazyGroup(
    "routeret",
    help=(
        "Retrieval with routed domain experts: one index, several experts, and a router that weighs them for every "
        "query.\n\n"
        "\b\n"
        "See it work:        routeret demo\n"
        "Make an index:      routeret build kb docs.jsonl\n"
        'Search it:          routeret search kb "how do I reset my card\'s PIN?"\n'
        "Keep it current:    routeret sync kb docs.jsonl\n"
        "Make it your own:   routeret tune kb --queries labelled.jsonl\n\n"
        "Results go to stdout (--json: for programs), progress and errors to stderr. Exit code 2: the input is wrong, "
        "and the message says what to do."
    ),
    commands={
        "demo": ("demo", "Run the main job on the data that ships with the package."),
        "build": ("build", "Build an index over corpora."),
        "add": ("add", "Add documents to an index."),
        "upsert": ("upsert", "Add documents to an index, in place of those with the same ids."),
        "sync": ("sync", "Make an index hold the documents of corpora and no others."),
        "delete": ("delete", "Remove documents from an index."),
        "search": ("search", "Search an index and tell how the query was routed."),
        "route": ("route", "Tell how a query would be routed, and why."),
        "warm": ("warm", "Prepare this machine for searching an index fast."),
        "info": ("info", "Tell what an index holds."),
        "verify": ("verify", "Check every byte of an index against its checksums."),
        "compact": ("compact", "Give the room of removed documents back."),
        "optimise": ("optimise", "Build the search structure of an index again, and measure its recall."),
        "export": ("export", "Write the documents and vectors of an index as plain files."),
        "import": ("import_", "Add the documents of an export to an index without embedding them."),
        "eval": ("evaluate", "Measure base, experts and routing on BEIR folders."),
        "compare": ("compare", "Compare two runs query by query."),
        "suite": ("suite", "Run an experiment from one file: build its pack, measure it."),
        "bench": ("bench", "Measure the index and its queries on this machine, beside others."),
        "tune": ("tune", "Fit an expert of your own to an index, or learn from its documents alone."),
        "router": ("router", "Look at the router of an index or of a pack."),
        "doctor": ("doctor", "Tell from a query log how the experts of an index do."),
        "mine": ("mine", "Mine training data from links."),
        "train": ("train", "Train experts."),
        "pack": ("pack", "List, show and build packs of experts."),
        "experts": ("experts", "List, add and remove the experts of an index."),
    },
)
