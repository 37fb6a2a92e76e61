"""Contrastive losses over a batch of scores: many positives a query, both directions, and that of pairs."""

from typing import TYPE_CHECKING, Literal, get_args

from routeret.errors import InputError

if TYPE_CHECKING:
    import torch

Against = Literal["negatives", "all"]
"""What a positive is compared with: the negatives alone, or all documents, its fellow positives among them."""


def many_positives(
    scores: "torch.Tensor",
    is_positive: "torch.Tensor",
    *,
    against: Against,
    ignored: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """The mean over queries of the mean over their positives of -log softmax.

    Against "all" it is L_out of supervised contrastive learning (Khosla et al., 2004.11362, equation 2) and the
    many-to-many InfoNCE of Unified Work Embeddings (2511.07969): positives of one query push each other away a
    little. Against "negatives" they do not: the sum holds one positive and the negatives.

    Args:
        scores: float32, shape (n_queries, n_documents); already divided by the temperature.
        is_positive: bool, same shape; at least one a query.
        against: what the sum holds besides the positive.
        ignored: bool, same shape; documents that are no negatives of the query, such as answers that were not drawn.
            A positive stays one where this is true as well.

    Returns:
        A number of at least 0, with gradients. A query that has nothing but positives counts 0 against "negatives".

    Raises:
        InputError: the shapes differ, there is no query, a query has no positive, or ``against`` is no choice.
    """
    import torch

    _require_fit(scores, is_positive, ignored)
    if against not in get_args(Against):
        raise InputError(f"against is {against!r}; expected one of {', '.join(get_args(Against))}")
    rows, columns = is_positive.nonzero(as_tuple=True)
    n_positives = torch.bincount(rows, minlength=len(scores))
    if (n_positives == 0).any():
        row = int((n_positives == 0).nonzero()[0])
        raise InputError(f"query {row} of the batch has no positive; expected at least one each")
    of_positives = scores[rows, columns]
    if against == "negatives":
        left_out = is_positive if ignored is None else is_positive | ignored
        totals = torch.logsumexp(scores.masked_fill(left_out, -torch.inf), dim=1)
        losses = torch.nn.functional.softplus(totals[rows] - of_positives)
    else:
        kept = scores if ignored is None else scores.masked_fill(ignored & ~is_positive, -torch.inf)
        losses = torch.logsumexp(kept, dim=1)[rows] - of_positives
    return (losses / n_positives[rows]).sum() / len(scores)


def symmetric(
    scores: "torch.Tensor",
    is_positive: "torch.Tensor",
    *,
    against: Against,
    ignored: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """The mean of both directions, documents given queries and queries given documents; see :func:`many_positives`.

    It is half of L_{Y|Q} + L_{Q|Y} of Unified Work Embeddings (2511.07969), so that it stays comparable with the
    loss of one direction. Where every query has one document of its own, it is multiple-negatives ranking (Henderson et
    al., 1705.00652, section 4.4), both directions averaged as in 2401.15713.

    Args:
        scores: float32, shape (n_queries, n_documents); already divided by the temperature.
        is_positive: bool, same shape; at least one. A query without a positive does not count in its direction, nor
            a document without one in the other: they are negatives only.
        against: what a positive is compared with.
        ignored: bool, same shape; pairs that are no negatives, in either direction.

    Returns:
        A number of at least 0, with gradients.

    Raises:
        InputError: the shapes differ, there is no positive at all, or ``against`` is no choice.
    """
    _require_fit(scores, is_positive, ignored)
    if not is_positive.any():
        raise InputError(f"none of {scores.shape[0]} x {scores.shape[1]} pairs is a positive; expected at least one")
    forward = _of_rows_with_positives(scores, is_positive, against, ignored)
    backward = _of_rows_with_positives(scores.T, is_positive.T, against, None if ignored is None else ignored.T)
    return (forward + backward) / 2


def mnr_plus(
    a: "torch.Tensor", b: "torch.Tensor", *, scale: float = 1.0, ignored: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Multiple-negatives ranking whose target is the pair most alike inside the two sides (2401.15713).

    The target of row i is where softmax((a a^T + b b^T) / 2) is largest in row i; it is one in both directions, whose
    losses are averaged. Among vectors of one length a pair is most like itself, so all targets are on the diagonal and
    this is :func:`symmetric` of the pairs: the two differ for vectors of free length only, as the paper has them, where
    a long vector draws the targets of others to itself.

    Args:
        a: float32, shape (n_pairs, dim); not brought to length 1.
        b: float32, same shape.
        scale: what inner products are multiplied by; the paper has 1.
        ignored: bool, shape (n_pairs, n_pairs); places that are no negatives, in either direction. A target stays one
            where this is true as well.

    Returns:
        A number of at least 0, with gradients; the targets are constants. Equal likeness takes the lower row.

    Raises:
        InputError: the shapes do not fit, or there is no pair.
    """
    import torch

    _require_pairs(a, b)
    with torch.no_grad():
        # The softmax keeps the order, and would round differences away.
        targets = (a @ a.T + b @ b.T).argmax(dim=1)
    scores = scale * (a @ b.T)
    is_target = torch.nn.functional.one_hot(targets, len(a)).bool()
    nothing = torch.zeros_like(is_target)
    both = ((scores, nothing if ignored is None else ignored), (scores.T, nothing if ignored is None else ignored.T))
    losses = [
        torch.nn.functional.cross_entropy(one.masked_fill(left_out & ~is_target, -torch.inf), targets)
        for one, left_out in both
    ]
    return (losses[0] + losses[1]) / 2


def soft_late_scores(
    tokens: "torch.Tensor", is_token: "torch.Tensor", targets: "torch.Tensor", *, temperature: float
) -> "torch.Tensor":
    """Soft late interaction with gradients; see :func:`routeret.late_interaction.soft_late_interaction`.

    Args:
        tokens: float32, shape (n_queries, most tokens, dim).
        is_token: bool, shape (n_queries, most tokens); at least one a query.
        targets: float32, shape (n_targets, dim); one pooled vector each.
        temperature: of the softmax over the tokens of a query, above 0.

    Returns:
        float32, shape (n_queries, n_targets); -1 to 1.

    Raises:
        InputError: the temperature is not above 0.
    """
    import torch

    if not temperature > 0:
        raise InputError(f"the interaction has temperature {temperature}, expected above 0 while training")
    products = torch.einsum("qtd,nd->qtn", tokens, targets)
    weights = torch.softmax((products / temperature).masked_fill(~is_token[:, :, None], -torch.inf), dim=1)
    unit_tokens = torch.nn.functional.normalize(tokens, dim=2)
    cosines = torch.einsum("qtd,nd->qtn", unit_tokens, torch.nn.functional.normalize(targets, dim=1))
    return (weights * cosines).sum(dim=1)


def _of_rows_with_positives(
    scores: "torch.Tensor", is_positive: "torch.Tensor", against: Against, ignored: "torch.Tensor | None"
) -> "torch.Tensor":
    kept = is_positive.any(dim=1)
    return many_positives(
        scores[kept], is_positive[kept], against=against, ignored=None if ignored is None else ignored[kept]
    )


def _require_fit(scores: "torch.Tensor", is_positive: "torch.Tensor", ignored: "torch.Tensor | None") -> None:
    masks = [is_positive] if ignored is None else [is_positive, ignored]
    if scores.ndim != 2 or len(scores) == 0 or any(mask.shape != scores.shape for mask in masks):
        raise InputError(
            f"scores have shape {tuple(scores.shape)}, masks {[tuple(mask.shape) for mask in masks]}; expected one "
            f"shape (n_queries, n_documents) with at least one query"
        )


def _require_pairs(a: "torch.Tensor", b: "torch.Tensor") -> None:
    if a.ndim != 2 or len(a) == 0 or a.shape != b.shape:
        raise InputError(
            f"the sides of the pairs have shapes {tuple(a.shape)} and {tuple(b.shape)}; expected one shape "
            f"(n_pairs, dim) with at least one pair"
        )
