"""The losses over regions: contrastive detection (Eq. 3 of arXiv:2103.10957) and regression.

Axes: b images of this rank, n images of all ranks, r regions of an image, d embedding.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

REMOVED = -1e9  # added to a similarity that is no candidate, as in the official code
SAFE_LOGIT = 40  # float32 holds exp(-40) and sums of a billion exp(40) without loss


def contrastive_detection(
    query: Float[Tensor, "b r d"],
    other: Float[Tensor, "n r d"],
    same: Float[Tensor, "n r d"] | None,
    query_ids: Integer[Tensor, "b r"],
    other_ids: Integer[Tensor, "b r"],
    *,
    temperature: float = 0.1,
    first: int = 0,
    local_negatives: bool = True,
) -> Float[Tensor, ""]:
    """Scores how well each region finds itself in the other view: one direction of the loss.

    The training loss is this function called twice, with the views exchanged, and added. A
    region's positives are the regions of `other` in the same image with the same id. Everything
    else is a negative: regions of other images, and other regions of the same image, in both
    views. Copies of the region in its own view are neither. Follows `byol_nce_detcon` of the
    official code (`utils/losses.py`).

    The matrix of similarities is never held whole: rows are taken in chunks, and the gradient is
    formed in the same pass, so that memory grows with n * r * d and not with (n * r)^2. Inputs in
    half precision are computed in float32; float64 stays float64.

    Args:
        query: Predictions for view one. Normalised inside, as are the others.
        other: Targets for view two, the candidates that a region should find.
        same: Targets for view one, which hold negatives only; None leaves them out.
        query_ids: Which mask each query region was pooled over. May repeat. A negative id is no
            mask: never a positive, and no anchor.
        other_ids: The same for `other`, of this rank's images.
        temperature: Divides the cosine similarities.
        first: Where this rank's images begin in `other` and `same`.
        local_negatives: False removes all of the photo's own entries but the positives, in both
            views.

    Returns:
        The mean over all b * r slots. A region whose mask isn't in the other view counts as zero,
        and k copies of one region weigh 1/k each: both as in the official code, and not in the
        paper's equation. So does a region without any candidate.

    Raises:
        ValueError: If `temperature` is not positive, or this rank's images aren't in `other`.
    """
    b, n = query.shape[0], other.shape[0]
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if first < 0 or first + b > n:
        raise ValueError(
            f"this rank's images are {first}..{first + b - 1}, but the gathered targets "
            f"hold only {n} images; gather targets before calling, or pass first=0"
        )
    views = [other] if same is None else [other, same]
    with torch.autocast(query.device.type, enabled=False):
        rows, *columns = (_unit_rows(x) for x in (query, *views))
        return _ChunkedContrast.apply(
            rows / temperature,
            torch.cat(columns),
            query_ids,
            other_ids,
            first,
            len(views),
            local_negatives,
            1 / temperature,
        )


def region_regression(
    query: Float[Tensor, "b r d"],
    other: Float[Tensor, "b r d"],
    query_ids: Integer[Tensor, "b r"],
    other_ids: Integer[Tensor, "b r"],
) -> Float[Tensor, ""]:
    """Scores how far each region is from itself in the other view: one direction of BYOL's loss.

    With one region an image it is Eq. 2 of BYOL (arXiv:2006.07733), 2 - 2 * cosine. The training
    loss is two calls with the views exchanged, added.

    Args:
        query: Predictions for view one. Normalised inside, as is `other`.
        other: Targets for view two.
        query_ids: Which mask each region is; negative for none.
        other_ids: The same for `other`.

    Returns:
        The mean over all slots; slots without a positive and copies weigh as in
        `contrastive_detection`.
    """
    b, r, _ = query.shape
    with torch.autocast(query.device.type, enabled=False):
        rows, columns = (_unit_rows(x).reshape(b, r, -1) for x in (query, other))
        positive, weight = _positives(query_ids, other_ids, rows.dtype)
        distance = 2 - 2 * rows @ columns.mT
        return ((positive * distance).sum(-1) * weight).mean()


class _ChunkedContrast(torch.autograd.Function):
    """Cross-entropy of rows against all columns; the gradient is ready when the value is.

    The matrix products should take the time, so that passes over the similarities are few: one
    for exp, in place, and one for its sum. Cosines divided by a temperature lie within `largest` =
    1 / temperature of zero; up to `SAFE_LOGIT` exp needs no maximum subtracted. What remains to be
    done to a row of the gradient is a factor, which goes to the narrow side of the product.
    """

    @staticmethod
    def forward(
        ctx, rows, columns, query_ids, other_ids, first, num_views, local_negatives, largest
    ):
        positive, weight = (x.flatten(0, 1) for x in _positives(query_ids, other_ids, rows.dtype))
        removed = _removed(query_ids, positive, num_views, local_negatives)
        own = _own_columns(query_ids, first, num_views, columns.shape[0])
        weight = weight[:, None] / len(rows)
        need_rows, need_columns = ctx.needs_input_grad[:2]
        d_rows = torch.empty_like(rows) if need_rows else None
        d_columns = torch.zeros_like(columns) if need_columns else None
        losses = []
        chunks = _chunks(len(rows), columns.shape[0])
        matrix = rows.new_empty(max(x.stop - x.start for x in chunks), len(columns))
        for part in chunks:
            at, w, share = own[part], weight[part], positive[part]
            at_other = at[:, : share.shape[1]]
            logits = torch.mm(rows[part], columns.mT, out=matrix[: len(at)])
            found = (share * logits.gather(1, at_other)).sum(1, keepdim=True)
            logits.scatter_add_(1, at, removed[part])
            top = 0.0
            if largest > SAFE_LOGIT:
                top = logits.amax(1, keepdim=True)
                logits.sub_(top)
            pull = logits.exp_()
            total = pull.sum(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny)
            losses.append((w * (total.log() + (top - found))).sum())
            scale = w / total  # scale * pull is the gradient with respect to the logits
            pull.scatter_add_(1, at_other, -share * total)
            if d_rows is not None:
                torch.mm(pull, columns, out=d_rows[part]).mul_(scale)
            if d_columns is not None:
                d_columns.addmm_(pull.mT, scale * rows[part])
        ctx.save_for_backward(d_rows, d_columns)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx, incoming):
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError(
                "contrastive_detection has no second derivative: its gradient is formed together "
                "with its value; call backward without create_graph"
            )
        d_rows, d_columns = (None if g is None else g * incoming for g in ctx.saved_tensors)
        return d_rows, d_columns, None, None, None, None, None, None


def _chunks(num_rows: int, num_columns: int) -> list[slice]:
    """Rows at a time: 16 MiB of similarities, but enough rows for a matrix product to pay."""
    step = max(512, 2**22 // num_columns)
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def _removed(
    query_ids: Integer[Tensor, "b r"],
    positive: Float[Tensor, "br r"],
    num_views: int,
    local_negatives: bool,
) -> Float[Tensor, "br vr"]:
    """What to add to an anchor's similarities with its own photo's entries: 0, or `REMOVED`."""
    itself = (query_ids[:, :, None] == query_ids[:, None, :]).flatten(0, 1)
    if not local_negatives:
        itself = torch.ones_like(itself)
    from_other = (positive == 0) & itself if not local_negatives else torch.zeros_like(itself)
    gone = torch.cat([from_other, itself][:num_views], dim=1)
    return gone.to(positive.dtype) * REMOVED


def _own_columns(
    query_ids: Integer[Tensor, "b r"], first: int, num_views: int, num_columns: int
) -> Integer[Tensor, "br vr"]:
    """Where the entries of an anchor's own photo stand among the columns, view by view."""
    b, r = query_ids.shape
    slots = torch.arange(r, device=query_ids.device)
    photo = torch.arange(first, first + b, device=query_ids.device).repeat_interleave(r)
    per_view = num_columns // num_views
    return torch.cat([photo[:, None] * r + slots + v * per_view for v in range(num_views)], 1)


def _unit_rows(x: Float[Tensor, "i r d"]) -> Float[Tensor, "ir d"]:
    """Rows of length one, in float32 unless they came in float64."""
    x = x if x.dtype == torch.float64 else x.float()
    return normalize(x.flatten(0, 1), dim=-1)


def _positives(
    query_ids: Integer[Tensor, "b r"], other_ids: Integer[Tensor, "b r"], dtype: torch.dtype
) -> tuple[Float[Tensor, "b r r"], Float[Tensor, "b r"]]:
    """The label of each anchor, as shares of its positives, and each anchor's weight."""
    is_mask = query_ids >= 0
    match = (query_ids[:, :, None] == other_ids[:, None, :]) & is_mask[:, :, None]
    copies = (query_ids[:, :, None] == query_ids[:, None, :]).sum(-1)
    num = match.sum(-1)
    positive = match.to(dtype) / num.clamp(min=1)[..., None]
    return positive, ((num > 0) & is_mask).to(dtype) / copies
