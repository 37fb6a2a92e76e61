"""A tiny data set whose answers no untrained model can know, for tests that train one."""

import json

ASKED, ANSWERS = list("abcdefgh"), list("stuvwxyz")


def write_letters(folder, *, answers=ANSWERS, shift=0):
    """A BEIR folder: letter n of the first third is answered by letter n + shift of the last, in train and in dev."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{number}", "title": "", "text": letter} for number, letter in enumerate(answers)]
    queries = [{"_id": f"q{number}", "text": letter} for number, letter in enumerate(ASKED)]
    for name, values in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    judged = "".join(f"q{number}\td{(number + shift) % 8}\t1\n" for number in range(8))
    for split in ("train", "dev"):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def without_dropout(folder):
    """The folder of a tiny model, changed to have no dropout, which leaves nothing of a model this small."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
