"""Towers trained on pairs: tiny models, a tiny data set whose answers no untrained model can know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from letters import ANSWERS, ASKED, without_dropout, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.errors import ArtifactError, CorpusError, ExpertNotHelpfulError, InputError, TrainingDivergedError
from routeret.experts import TowerExpert, load_expert
from routeret.late_interaction import PooledTargets, TokenTargets, soft_late_interaction
from routeret.mining import BipartiteGraph, graph_of_pairs, graph_of_qrels
from routeret.retriever import Retriever
from routeret.routing import load_pilots, save_pilots
from routeret.training import tower_fit, tower_report, towers
from routeret.training.fitting import Batches, DevScore
from routeret.training.losses import soft_late_scores
from routeret.training.tower import Tower
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_negatives import prepared, with_hard_negatives
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.two_tower import train_two_tower
from routeret.types import Document

RECIPE = TowerRecipe(checkpoints=(10, 80), learning_rate=5e-3, batch=8, max_tokens=12)


@pytest.fixture(scope="module")
def base(tiny_models, tmp_path_factory):
    folder = without_dropout(tiny_models.write(tmp_path_factory.mktemp("base") / "tiny"))
    return TorchEncoder(folder, device="cpu", precision="float32")


@pytest.fixture
def data(tmp_path):
    return write_letters(tmp_path / "words")


def tasks_of(data):
    return [TowerTask(graph_of_qrels(load_dataset(data), "train"))]


def test_a_trained_tower_answers_what_the_base_cannot_and_joins_a_retriever(base, data, tmp_path):
    report = train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=RECIPE)
    assert report.helpful
    assert report.n_pairs == {"words_train": 8}
    assert report.alone["words"] > 0.9 > report.base["words"]
    assert set(report.history) == {10, 80}
    expert = load_expert(tmp_path / "out")
    assert isinstance(expert, TowerExpert)
    assert expert.space != base.space
    assert expert.encoder.space.max_tokens == base.space.max_tokens
    assert not list(tmp_path.glob(".out*"))
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        kb.add(data)
        kb.add_expert(tmp_path / "out")
        found = [kb.search(letter, 1, expert="words")[0].text for letter in ASKED]
    assert np.mean([one == other for one, other in zip(found, ANSWERS, strict=True)]) > 0.8


def test_the_same_seed_gives_the_same_expert_also_when_it_was_interrupted(base, data, tmp_path, monkeypatch):
    recipe = replace(RECIPE, checkpoints=(10, 24))

    def train(name):
        out = tmp_path / name
        return train_two_tower("words", tasks_of(data), [data], out=out, base=base, recipe=recipe, force=True)

    first = train("a")
    whole = tower_fit.symmetric
    calls = []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(tower_fit, "symmetric", interrupted)
    for _ in range(2):
        try:
            second = train("b")
        except KeyboardInterrupt:
            assert (tmp_path / ".b.training").exists()
    assert len(calls) == 14 + 14
    assert second.as_dict() | {"folder": ""} == first.as_dict() | {"folder": ""}
    assert load_expert(tmp_path / "a").space == load_expert(tmp_path / "b").space


def test_an_expert_that_does_not_help_is_not_written(base, data, tmp_path):
    lazy = TowerRecipe(checkpoints=(1,), learning_rate=1e-9, batch=8)
    with pytest.raises(ExpertNotHelpfulError, match=r"words: base 0\.\d+, with the expert 0\.\d+"):
        train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=lazy)
    assert not (tmp_path / "out").exists()
    forced = train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=lazy, force=True)
    assert not forced.helpful
    assert load_expert(tmp_path / "out").name == "words"


def test_a_refused_expert_is_forced_without_training_again(base, data, tmp_path, monkeypatch):
    lazy = TowerRecipe(checkpoints=(1, 2), learning_rate=1e-9, batch=8)
    whole, n_steps = tower_fit.symmetric, []
    monkeypatch.setattr(tower_fit, "symmetric", lambda *found, **how: n_steps.append(1) or whole(*found, **how))

    def train(**settings):
        return train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, **settings)

    for _ in range(2):
        with pytest.raises(ExpertNotHelpfulError, match=r"trains nothing again, since .* kept in .*\.out\.training;"):
            train(recipe=lazy)
    assert [path.name for path in tmp_path.glob(".out*")] == [".out.training"]
    with pytest.raises(ArtifactError, match=r"interrupted or refused training with other .* \(seed: 0, now 1\)"):
        train(recipe=lazy, seed=1)
    train(recipe=lazy, force=True)
    assert len(n_steps) == 2
    assert list(tmp_path.glob(".out*")) == []


def test_no_query_is_judged_at_a_share_that_it_chose(base, data, tmp_path, monkeypatch):
    is_first_half = np.random.default_rng(0).permutation(8) % 2 == 0
    gains = np.where(is_first_half[:, None], [0.6, -0.4, -0.9, -0.9], [-0.4, 0.6, -0.9, -0.9]).astype(np.float32)
    monkeypatch.setattr("routeret.training.towers.tower_gains", lambda *_, **__: gains)
    lazy = TowerRecipe(checkpoints=(1,), learning_rate=1e-9, batch=8)
    report = train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=lazy, force=True)
    assert report.strength == 0.3
    assert report.fused["words"] - report.base["words"] == pytest.approx(0.1, abs=1e-6)
    assert report.difference.mean == pytest.approx(-0.4, abs=1e-6)
    assert not report.helpful


def test_a_loss_that_is_no_number_names_the_texts_of_its_batch(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(tower_fit, "symmetric", lambda scores, *_, **__: scores.sum() * float("nan"))
    with pytest.raises(TrainingDivergedError, match=r"step 0 is nan.*8 pairs of task 'words_train' that begin with '"):
        train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=RECIPE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("objective", ["one_way", "symmetric", "many_to_many", "mnr_plus"])
def test_every_objective_learns(base, data, objective):
    tower = Tower(base)
    losses = []
    source = tower_fit._Source(tasks_of(data)[0], TowerRecipe(objective=objective, batch=8), seed=0)

    def judge():
        with tower.judging():
            losses.append(source.loss(tower, 0).item())
        return DevScore(-losses[-1], {})

    recipe = TowerRecipe(checkpoints=(1, 50), learning_rate=5e-3, batch=8, objective=objective)
    fit_to_tasks(tower, tasks_of(data), judge=judge, recipe=recipe)
    assert losses[1] < losses[0] / 2


@pytest.mark.parametrize(("objective", "n_positives"), [("symmetric", 2), ("many_to_many", 4)])
def test_known_pairs_of_a_batch_are_positives_only_with_many_to_many(base, monkeypatch, objective, n_positives):
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    graph = BipartiteGraph.from_edges("g", pairs, left={"a": "b", "b": "c"}, right={"c": "x", "d": "y"})
    seen = []

    def watched(scores, is_positive, **_):
        seen.append(is_positive.sum().item())
        return scores.sum()

    monkeypatch.setattr(tower_fit, "symmetric", watched)
    seeds = (seed for seed in range(100) if _draws_the_diagonal(seed))
    source = tower_fit._Source(TowerTask(graph), TowerRecipe(objective=objective, batch=2), seed=next(seeds))
    source.loss(Tower(base), 0)
    assert seen == [n_positives]


def test_a_paper_is_no_negative_of_itself(base):
    papers = dict(zip("abc", ASKED, strict=False))
    pairs = np.array([[0, 1], [1, 0], [1, 2], [2, 1]])
    graph = BipartiteGraph.from_edges("papers", pairs, left=papers, right=papers)
    assert graph.itself_on_right.tolist() == [0, 1, 2]
    # Two sides of different things hold nothing twice, though ids are the same.
    others = BipartiteGraph.from_edges("g", np.array([[0, 0]]), left={"a": "b"}, right={"a": "x"})
    assert others.itself_on_right.tolist() == [-1]
    tower = Tower(base)
    source = tower_fit._Source(TowerTask(graph, temperature=0.5), TowerRecipe(objective="one_way", batch=4), seed=0)
    with tower.judging():
        loss = source.loss(tower, 0).item()
        vectors = tower.encode(list(papers.values()), precision="float32")
    s = np.exp(vectors @ vectors.T / 0.5)
    # a has only b, and c has only b; b has a and c, which push each other away.
    expected = -(np.log(s[0, 1] / (s[0, 1] + s[0, 2])) + np.log(s[2, 1] / (s[2, 0] + s[2, 1]))) / 3
    expected -= (np.log(s[1, 0] / (s[1, 0] + s[1, 2])) + np.log(s[1, 2] / (s[1, 0] + s[1, 2]))) / 6
    assert loss == pytest.approx(expected, rel=2e-2)


def _draws_the_diagonal(seed):
    return sorted(Batches(4, 2, seed=seed).rows(0)) in ([0, 3], [1, 2])


def test_hard_negatives_join_the_batch():
    graph = BipartiteGraph.from_edges(
        "g",
        np.array([[0, 0], [1, 1], [2, 2]]),
        left=dict(zip("abc", ASKED, strict=False)),
        right=dict(zip("def", ANSWERS, strict=False)),
    )
    negatives = np.array([[2, -1], [2, -1], [0, 1]])
    source = tower_fit._Source(
        TowerTask(graph, hard_negatives=negatives), TowerRecipe(batch=2, n_hard_negatives=1), seed=0
    )
    assert source._hard(np.array([0, 2])).tolist() == [2, 0]
    with pytest.raises(InputError, match="3 left texts and hard negatives of 1"):
        TowerTask(graph, hard_negatives=negatives[:1])


def test_what_cannot_be_trained_is_refused(base, data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no task was given"):
        train_two_tower("words", [], [data], out=out, base=base)
    with pytest.raises(InputError, match="expected a list of at least one BEIR folder"):
        train_two_tower("words", tasks_of(data), [], out=out, base=base)
    with pytest.raises(InputError, match="found space fusion 'sum', expected one of: scores, ranks"):
        train_two_tower("words", tasks_of(data), [data], out=out, base=base, how="sum")
    with pytest.raises(InputError, match="the base is a HashingEncoder"):
        train_two_tower("words", tasks_of(data), [data], out=out, base=HashingEncoder(8))
    with pytest.raises(InputError, match="found objective 'best'"):
        TowerRecipe(objective="best")
    out.mkdir()
    with pytest.raises(ArtifactError, match="exists already"):
        train_two_tower("words", tasks_of(data), [data], out=out, base=base)


def test_the_graph_of_pairs_has_both_directions(data, tmp_path):
    pairs = tmp_path / "pairs.train.jsonl"
    pairs.write_text('{"a": "d0", "b": "d2", "count": 3}\n{"a": "d2", "b": "d5", "count": 1}\n')
    graph = graph_of_pairs(pairs, data)
    assert graph.name == "pairs"
    assert graph.left_ids == graph.right_ids == ("d0", "d2", "d5")
    assert graph.left_texts == ("s", "u", "x")
    assert graph.edges.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert graph.weights.tolist() == [3, 3, 1, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"a": "d0", "b": "d9"}', r"pairs\.jsonl:1 names document 'd9'"), ('{"a": "d0", "b": "d0"}', "with itself")],
)
def test_pairs_that_do_not_fit_the_corpus_are_named(data, tmp_path, line, message):
    (tmp_path / "pairs.jsonl").write_text(line + "\n")
    with pytest.raises(CorpusError, match=message):
        graph_of_pairs(tmp_path / "pairs.jsonl", data)


def test_an_expert_with_late_interaction_scores_tokens_of_the_query(base, data, tmp_path):
    recipe = replace(RECIPE, checkpoints=(80,), interaction=0.1)
    report = train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=recipe)
    assert report.alone["words"] > 0.9
    expert = load_expert(tmp_path / "out")
    assert expert.interaction == 0.1
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        kb.add(data)
        pilots = load_pilots(tmp_path / "out" / "pilots")
        replace(expert, strength=1.0).save(
            tmp_path / "full", beside=lambda folder: save_pilots(pilots, folder / "pilots")
        )
        kb.add_expert(tmp_path / "full")
        hits = kb.search("b c", 8, expert="words")
        tokens = expert.encoder.encode_query_tokens(["b c"])
        documents = expert.encoder.encode_documents([Document(id=letter, text=letter) for letter in ANSWERS]).vectors
        own = soft_late_interaction(tokens, PooledTargets.of(documents), temperature=0.1)[0]
        scores = dict(zip(ANSWERS, own, strict=True))
    assert [hit.text for hit in hits] == sorted(scores, key=scores.get, reverse=True)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(scores.values(), reverse=True), atol=1e-3)


def test_token_vectors_pool_to_the_query_vector(base):
    texts = ["river bank", "", "tax return: ü"]
    tokens = base.encode_query_tokens(texts)
    pooled = np.stack([one.mean(axis=0) for one in tokens])
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(pooled, base.encode_queries(texts), atol=1e-5)


def test_the_loss_scores_as_the_search_does(base):
    tower = Tower(base)
    with tower.judging(), torch.no_grad():
        tokens, is_token = tower.tokens(["river bank", "tax"])
        targets = tower.vectors(ANSWERS)
        found = soft_late_scores(tokens, is_token, targets, temperature=0.1).numpy()
    ragged = [one[kept].numpy() for one, kept in zip(tokens, is_token, strict=True)]
    expected = soft_late_interaction(ragged, PooledTargets.of(targets.numpy()), temperature=0.1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(InputError, match="temperature 0, expected above 0"):
        soft_late_scores(tokens, is_token, targets, temperature=0)


def test_hard_negatives_come_from_the_encoder_and_from_words_in_turn():
    texts = {"a": "red ship", "b": "red boat", "c": "ship in port", "d": "sour lemon", "e": "red"}
    graph = BipartiteGraph.from_edges("g", np.array([[0, 1], [1, 0], [2, 3], [3, 2], [4, 1]]), left=texts, right=texts)
    task = with_hard_negatives(TowerTask(graph), [HashingEncoder(64)], n=2, margin=0.0)
    # To words, "ship in port" is like "red ship", and does not belong to it.
    assert graph.right_ids == ("a", "b", "c", "d")
    assert 2 in task.hard_negatives[0]
    for row, negatives in enumerate(task.hard_negatives):
        taken = {graph.right_ids[right] for right in negatives if right >= 0}
        assert graph.left_ids[row] not in taken
        assert not taken & {graph.right_ids[right] for right in graph.positives_of_left(row)}
    with pytest.raises(InputError, match="expected at least one source"):
        with_hard_negatives(TowerTask(graph), [], n=2, lexical=False)


def test_a_recipe_says_how_far_its_hard_negatives_stay_below():
    texts = {"a": "red ship", "b": "red boat", "c": "ship in port", "d": "sour lemon", "e": "red"}
    graph = BipartiteGraph.from_edges("g", np.array([[0, 1], [1, 0], [2, 3], [3, 2], [4, 1]]), left=texts, right=texts)
    mined = {}
    for margin in (0.0, 1.0):
        (task,) = prepared([TowerTask(graph)], HashingEncoder(64), TowerRecipe(n_hard_negatives=2, margin=margin))
        expected = with_hard_negatives(TowerTask(graph), [HashingEncoder(64)], n=2, margin=margin)
        mined[margin] = task.hard_negatives.tolist()
        assert mined[margin] == expected.hard_negatives.tolist()
    assert mined[0.0] != mined[1.0]
    own = TowerTask(graph, hard_negatives=np.array([[2]] * 5))
    assert prepared([own], HashingEncoder(64), TowerRecipe(n_hard_negatives=2)) == [own]


def test_a_training_mines_its_own_hard_negatives(base, data, tmp_path, monkeypatch):
    seen = []
    whole = tower_fit._Source._hard

    def watched(source, lefts):
        rows = whole(source, lefts)
        seen.append(len(rows))
        return rows

    monkeypatch.setattr(tower_fit._Source, "_hard", watched)
    recipe = replace(RECIPE, checkpoints=(2,), n_hard_negatives=2)
    train_two_tower("words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=recipe, force=True)
    assert seen
    assert max(seen) > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoints": (3, 2)}, r"checkpoints are \(3, 2\), expected rising"),
        ({"checkpoints": ()}, r"checkpoints are \(\), expected rising"),
        ({"learning_rate": 0}, "learning rate 0 .* expected a rate above 0"),
        ({"interaction": 0}, "interaction is 0, expected a temperature above 0"),
        ({"interaction": -1.0}, "interaction is -1.0, expected a temperature above 0"),
        ({"margin": 1.5}, "margin is 1.5, rounds 1; expected 0 to 1"),
        ({"rounds": 0}, "rounds 0; expected 0 to 1, and at least 1"),
        ({"rounds": 2}, "rounds is 2 without hard negatives"),
        ({"token_storage": "int8"}, "token_storage is int8 without interaction"),
        ({"token_storage": "int4", "interaction": 0.1}, "token storage is 'int4', expected one of fp16, int8"),
        ({"objective": "mnr_plus", "n_hard_negatives": 1}, "'mnr_plus' with n_hard_negatives 1 and interaction None"),
        ({"objective": "mnr_plus", "interaction": 0.1}, "'mnr_plus' with n_hard_negatives 0 and interaction 0.1"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        TowerRecipe(**settings)


def test_a_recipe_writes_down_what_has_an_effect():
    plain = {
        "checkpoints": [50, 100, 200],
        "learning_rate": 5e-5,
        "batch": 32,
        "max_tokens": 128,
        "objective": "many_to_many",
        "n_hard_negatives": 0,
        "interaction": None,
    }
    assert TowerRecipe().as_dict() == plain
    mining = TowerRecipe(n_hard_negatives=2, rounds=2, margin=0.1)
    assert mining.as_dict() == plain | {"n_hard_negatives": 2, "rounds": 2, "margin": 0.1}
    late = TowerRecipe(interaction=0.1, token_storage="fp16")
    assert late.as_dict() == plain | {"interaction": 0.1, "token_storage": "fp16"}


def test_data_sets_of_one_name_are_refused_before_anything_is_embedded(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(tower_report, "embed_dataset", lambda *_, **__: pytest.fail("a data set was embedded"))
    twin = write_letters(tmp_path / "other" / "words")
    for sets in ([data, twin], [data, data]):
        with pytest.raises(InputError, match="found two data sets called 'words', .*rename one folder"):
            train_two_tower("words", tasks_of(data), sets, out=tmp_path / "out", base=base)


def test_a_base_that_has_no_token_vectors_is_refused_before_anything_is_embedded(base, monkeypatch):
    monkeypatch.setattr(TorchEncoder, "has_token_vectors", False)
    TowerRecipe().require_base(base)
    for recipe in (TowerRecipe(objective="mnr_plus"), TowerRecipe(interaction=0.1)):
        with pytest.raises(InputError, match="need a base that pools by the mean"):
            recipe.require_base(base)


def test_tasks_weigh_as_they_say_each_at_its_temperature(base, monkeypatch):
    edges = np.array([[0, 0], [1, 1]])
    one = BipartiteGraph.from_edges("one", edges, left={"a": "b", "b": "c"}, right={"c": "x", "d": "y"})
    other = BipartiteGraph.from_edges("other", edges, left={"a": "d", "b": "e"}, right={"c": "u", "d": "v"})
    tasks = [TowerTask(one, weight=3.0, temperature=0.5), TowerTask(other, weight=1.0, temperature=0.1)]
    losses = []

    def stop(_, loss, **__):
        losses.append(loss(0).item())
        raise KeyboardInterrupt

    monkeypatch.setattr(tower_fit, "fit_tower", stop)
    tower = Tower(base)
    with pytest.raises(KeyboardInterrupt):
        fit_to_tasks(tower, tasks, judge=None, recipe=TowerRecipe(batch=2))

    def by_hand(graph, temperature):
        sides = [tower.encode(texts, precision="float32") for texts in (graph.left_texts, graph.right_texts)]
        s = np.exp(sides[0] @ sides[1].T / temperature)
        return -np.mean([np.log(np.diag(s) / s.sum(axis=axis)) for axis in (0, 1)])

    assert losses[0] == pytest.approx((3 * by_hand(one, 0.5) + by_hand(other, 0.1)) / 4, rel=2e-2)


def test_an_expert_may_keep_its_documents_tokens(base, data, tmp_path):
    recipe = replace(RECIPE, checkpoints=(30,), interaction=0.1, token_storage="int8")
    report = train_two_tower(
        "words", tasks_of(data), [data], out=tmp_path / "out", base=base, recipe=recipe, force=True
    )
    expert = load_expert(tmp_path / "out")
    assert (expert.interaction, expert.token_storage, expert.targets) == (0.1, "int8", "tokens")
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        kb.add(data)
        pilots = load_pilots(tmp_path / "out" / "pilots")
        replace(expert, strength=1.0).save(
            tmp_path / "full", beside=lambda folder: save_pilots(pilots, folder / "pilots")
        )
        kb.add_expert(tmp_path / "full")
        (space,) = (held for held in kb.info()["spaces"].values() if held["rows"] and held.get("tokens"))
        found = [[hit.text for hit in kb.search(letter, 8, expert="words")] for letter in ASKED]
    documents = [Document(id=letter, text=letter) for letter in ANSWERS]
    tokens = expert.encoder.encode_document_tokens(documents)[1]
    targets = TokenTargets.of(np.concatenate(tokens), np.array([len(one) for one in tokens]))
    scores = soft_late_interaction(expert.encoder.encode_query_tokens(ASKED), targets, temperature=0.1)
    first = [ANSWERS[row] for row in scores.argmax(axis=1)]
    assert np.mean([hits[0] == best for hits, best in zip(found, first, strict=True)]) > 0.8
    ranks = [int(np.sum(row > row[number])) for number, row in enumerate(scores)]
    assert report.alone["words"] == pytest.approx(np.mean([1 / np.log2(rank + 2) for rank in ranks]), abs=0.02)


def test_gains_are_measured_as_the_retriever_fuses_spaces(base, data, tmp_path, monkeypatch):
    whole, seen = towers.tower_gains, []
    monkeypatch.setattr(
        towers, "tower_gains", lambda *found, how, **more: seen.append(how) or whole(*found, how=how, **more)
    )
    lazy = TowerRecipe(checkpoints=(1,), learning_rate=1e-9, batch=8)
    for name, settings, how in (("a", {}, "scores"), ("b", {"how": "ranks"}, "ranks")):
        out = tmp_path / name
        train_two_tower("words", tasks_of(data), [data], out=out, base=base, recipe=lazy, force=True, **settings)
        assert load_expert(out).details["space_fusion"] == how
    assert seen == ["scores", "ranks"]
