"""What a query costs by a system, and a report as plots."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from tiny_packs import ENCODER, TEXTS, linear_expert, write_dataset, write_pack

from routeret.errors import InputError
from routeret.evaluation import Report, evaluate
from routeret.evaluation.costs import CostMeter
from routeret.evaluation.dataset_report import Cost
from routeret.evaluation.plots import Gains, draw, gains_of, label_heights, points_of
from routeret.measures import NDCG
from routeret.retriever.pool import Pool
from routeret.routing.decisions import RoutingBatch
from routeret.types import BASE


class Other:
    """An expert in the base's space that is no linear map, as one with an encoder pass of its own."""

    name = "other"
    strength = 1.0


POOL = Pool(ENCODER, (linear_expert("fruit"), Other()))


def routing(*lines, lexical=None, adaptation=None):
    """Decisions with these weights of base, fruit and other, every expert at full strength."""
    batch = RoutingBatch.constant(POOL.names, len(lines), weights={BASE: 1.0}, strengths={})
    return replace(
        batch,
        weights=np.array(lines, dtype=np.float32),
        strengths=np.ones((len(lines), 2), dtype=np.float32),
        lexical=batch.lexical if lexical is None else np.array(lexical, dtype=np.float32),
        adaptation=batch.adaptation if adaptation is None else np.array(adaptation, dtype=np.float32),
    )


# --- costs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "looks_first", "cost"),
    [
        # All on the base: one pass, one search, which a router that looks at the first hits shares.
        (routing([1, 0, 0]), False, Cost(1.0, 1.0)),
        (routing([1, 0, 0]), True, Cost(1.0, 1.0)),
        # A linear map costs no pass; its vector is another search for one who has looked at the base's hits.
        (routing([0, 1, 0]), False, Cost(1.0, 1.0)),
        (routing([0.5, 0.5, 0]), True, Cost(1.0, 2.0)),
        # Another expert is a pass; the two of a mixture are one search.
        (routing([0, 0.5, 0.5]), False, Cost(2.0, 1.0)),
        # Words are a search, and so is what the index's own map has turned.
        (routing([1, 0, 0], lexical=[0.2]), True, Cost(1.0, 2.0)),
        (routing([1, 0, 0], adaptation=[0.2]), True, Cost(1.0, 2.0)),
        # The mean over the queries.
        (routing([1, 0, 0], [0, 0, 1]), True, Cost(1.5, 1.5)),
    ],
)
def test_costs_by_hand(batch, looks_first, cost):
    meter = CostMeter(POOL)
    meter.take("routed", batch, looks_first=looks_first)
    assert meter.means() == {"routed": cost}


def test_an_expert_without_strength_costs_nothing():
    meter = CostMeter(POOL)
    meter.take("routed", replace(routing([0, 0, 1]), strengths=np.zeros((1, 2), dtype=np.float32)), looks_first=False)
    assert meter.means() == {"routed": Cost(1.0, 1.0)}


def test_costs_add_up_over_blocks_and_words_need_no_encoder():
    meter = CostMeter(POOL)
    meter.take("routed", routing([1, 0, 0], [1, 0, 0], [1, 0, 0]), looks_first=True)
    meter.take("routed", routing([0, 0, 1]), looks_first=True)
    meter.take_words("bm25", 3)
    assert meter.means() == {"routed": Cost(1.25, 1.25), "bm25": Cost(0.0, 1.0)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    sets = [write_dataset(folder / "data" / name) for name in TEXTS]
    return evaluate(sets, pack=write_pack(folder / "tiny"))


def test_an_evaluation_tells_the_costs(report):
    costs = report.datasets["fruit"].costs
    assert (costs["base"], costs["bm25"], costs["hybrid"]) == (Cost(1, 1), Cost(0, 1), Cost(1, 2))
    assert costs["expert:fruit"] == costs["uniform"] == Cost(1, 1)
    # Every query here gets an expert, and the router has looked at the base's hits before.
    assert (costs["routed"], costs["routed_hybrid"]) == (Cost(1, 2), Cost(1, 3))
    assert "dataset_oracle" not in costs
    again = Report.from_json(json.loads(json.dumps(report.to_json())))
    assert again.datasets["fruit"].costs == costs


# --- plots -----------------------------------------------------------------------------------------------------------


def test_what_the_plots_show(report):
    gains = gains_of(report)
    assert gains.systems == ("expert:fruit", "expert:multitask", "expert:ships", "routed")
    assert gains.sets == ("fruit", "ships")
    ships = report.datasets["ships"].systems
    assert gains.values[0][1] == ships["expert:fruit"][NDCG] - ships["base"][NDCG]
    points = {point.system: point for point in points_of(report)}
    assert points["routed"].gain == report.diff_to_base["routed"].mean
    assert (points["routed"].encoder_passes, points["routed"].searches) == (1.0, 2.0)
    assert not {"query_oracle", "expert:fruit"} & set(points)


def test_labels_keep_a_gap_and_their_order():
    # The second is moved above the first, and the fourth above the second; the third stays.
    assert label_heights([0.0, 0.25, 4.0, 1.25], gap=1.0) == [0.0, 1.0, 4.0, 2.0]
    assert label_heights([2.0, 2.0], gap=0.5) == [2.0, 2.5]
    assert label_heights([], gap=1.0) == []


def test_a_report_without_something_has_less_to_show(report):
    old = replace(report, datasets={name: replace(one, costs=None) for name, one in report.datasets.items()})
    assert points_of(old) is None
    assert gains_of(old) == gains_of(report)
    bare = replace(old, mean={"base": old.mean["base"]})
    assert gains_of(bare) is None
    with pytest.raises(InputError, match="neither single experts nor costs"):
        draw(bare, "nowhere")
    fruit = report.datasets["fruit"]
    missing = replace(fruit, systems={**fruit.systems, "expert:fruit": None})
    gains = gains_of(replace(report, datasets={**report.datasets, "fruit": missing}))
    assert isinstance(gains, Gains)
    assert gains.values[0][0] is None


def test_plots_hold_their_labels_and_are_the_same_again(report, tmp_path):
    files = draw(report, tmp_path / "one")
    assert [file.name for file in files] == ["gains.svg", "costs.svg"]
    gains, costs = ({text.strip() for text in ElementTree.parse(file).getroot().itertext()} for file in files)
    assert {"expert:fruit", "routed", "fruit", "ships", "nDCG@10 above the base"} <= gains
    assert f"{report.datasets['ships'].diff_to_base['expert:ships'].mean:+.3f}" in gains
    assert {"routed_hybrid", "bm25", "encoder passes a query", "searches a query"} <= costs
    for file in draw(report, tmp_path / "two"):
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()
