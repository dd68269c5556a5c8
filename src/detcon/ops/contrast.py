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
    with torch.autocast(query.device.type, enabled=False):
        vectors = (x if x is None else _single_or_double(x) for x in (query, other, same))
        return _ChunkedContrast.apply(
            *vectors, query_ids, other_ids, temperature, first, local_negatives
        )


def contrastive_detection_of_both(
    one: Float[Tensor, "b r d"],
    two: Float[Tensor, "b r d"],
    ids_one: Integer[Tensor, "b r"],
    ids_two: Integer[Tensor, "b r"],
    *,
    temperature: float = 0.1,
    local_negatives: bool = True,
) -> Float[Tensor, ""]:
    """Both directions of `contrastive_detection`, added, where the queries are the targets.

    So it is in DetCon-S and SimCLR on one rank: every vector is a row and a column, the matrix of
    similarities is symmetric, and a triangle of it is enough. That makes 8 matrix products of
    `[b * r, d] x [d, b * r]` where two calls make 12. Value and gradient are the same.

    Args:
        one: Projections for view one. Normalised inside, as is `two`.
        two: Projections for view two.
        ids_one: Which mask each region of `one` is; see `contrastive_detection`.
        ids_two: The same for `two`.
        temperature: Divides the cosine similarities.
        local_negatives: As in `contrastive_detection`.

    Returns:
        `contrastive_detection(one, two, one, ids_one, ids_two)` and
        `contrastive_detection(two, one, two, ids_two, ids_one)`, added.

    Raises:
        ValueError: If `temperature` is not positive.
    """
    if temperature < 1 / SAFE_LOGIT:  # rows need maxima of their own
        options = {"temperature": temperature, "local_negatives": local_negatives}
        return contrastive_detection(
            one, two, one, ids_one, ids_two, **options
        ) + contrastive_detection(two, one, two, ids_two, ids_one, **options)
    with torch.autocast(one.device.type, enabled=False):
        vectors, ids = torch.stack([one, two], 1), torch.stack([ids_one, ids_two], 1)
        return _SymmetricContrast.apply(
            _single_or_double(vectors.flatten(1, 2)), ids, temperature, local_negatives
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
    with torch.autocast(query.device.type, enabled=False):
        rows, columns = (normalize(_single_or_double(x), dim=-1) for x in (query, other))
        positive, weight = _positives(query_ids, other_ids, rows.dtype)
        distance = 2 - 2 * rows @ columns.mT
        return ((positive * distance).sum(-1) * weight).mean()


class _ChunkedContrast(torch.autograd.Function):
    """Cross-entropy of rows against all columns; the gradient is ready when the value is.

    The matrix products should take the time, so that passes over the similarities are few: one
    for exp, in place, and one for its sum. Cosines divided by a temperature lie within
    1 / temperature of zero; up to `SAFE_LOGIT` exp needs no maximum subtracted. What remains to be
    done to a row of the gradient is a factor, which goes to the narrow side of the product.
    The gradient of the columns is gathered transposed, [d, vnr], which is the quicker product.
    """

    @staticmethod
    def forward(ctx, query, other, same, query_ids, other_ids, temperature, first, local_negatives):
        views = [other] if same is None else [other, same]
        rows, row_lengths = _unit_vectors(query)
        columns, column_lengths = map(torch.cat, zip(*map(_unit_vectors, views), strict=True))
        positive, weight = (x.flatten(0, 1) for x in _positives(query_ids, other_ids, rows.dtype))
        removed = _removed(query_ids, positive, len(views), local_negatives)
        own = _own_columns(query_ids, first, len(views), len(columns))
        weight = weight[:, None] / len(rows)
        d_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        d_columns = columns.new_empty(columns.mT.shape) if any(ctx.needs_input_grad[1:3]) else None
        losses = []
        chunks = _chunks(len(rows), len(columns))
        matrix = rows.new_empty(chunks[0].stop, len(columns))
        for part in chunks:
            at, w, share = own[part], weight[part], positive[part]
            at_other = at[:, : share.shape[1]]
            logits = matrix[: len(at)].addmm_(rows[part], columns.mT, beta=0, alpha=1 / temperature)
            found = (share * logits.gather(1, at_other)).sum(1, keepdim=True)
            logits.scatter_add_(1, at, removed[part])
            top = 0.0
            if 1 / temperature > SAFE_LOGIT:
                top = logits.amax(1, keepdim=True)
                logits.sub_(top)
            pull = logits.exp_()
            total = pull.sum(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny)
            losses.append((w * (total.log() + (top - found))).sum())
            pull.scatter_add_(1, at_other, -share * total)
            scale = w / total / temperature  # scale * pull is the gradient of the cosines
            if d_rows is not None:
                torch.mm(pull, columns, out=d_rows[part]).mul_(scale)
            if d_columns is not None:
                d_columns.addmm_((scale * rows[part]).mT, pull, beta=float(part.start > 0))
        gradients: list[Tensor | None] = [None, None, None]
        if d_rows is not None:
            gradients[0] = _through_unit(d_rows, rows, row_lengths).view_as(query)
        if d_columns is not None:
            d_columns = _through_unit(d_columns.mT.contiguous(), columns, column_lengths)
            gradients[1 : 1 + len(views)] = d_columns.view(len(views), *other.shape)
        ctx.save_for_backward(*gradients)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx, incoming):
        _refuse_second_derivative()
        gradients = (None if x is None else x * incoming for x in ctx.saved_tensors)
        return *gradients, None, None, None, None, None


class _SymmetricContrast(torch.autograd.Function):
    """Cross-entropy of all regions against each other; the gradient is ready with the value.

    With E the exponentials of the similarities, 0 where an entry is removed, s the sums of its
    rows and w the weights, the gradient of the similarities is E_ij * (w_i / s_i + w_j / s_j), but
    for the positives. A first walk over the blocks of a triangle finds s; a second one computes
    the blocks again, and each gives the gradient of its rows and of its columns.
    """

    @staticmethod
    def forward(ctx, vectors, ids, temperature, local_negatives):
        regions = vectors.shape[1]  # those of view one, then those of view two
        unit, lengths = _unit_vectors(vectors)
        share, weight, kept = _own_photo(ids, unit.dtype, local_negatives)
        own = unit.view_as(vectors) @ unit.view_as(vectors).mT / temperature
        found = (share * own).sum(-1)
        step = regions * max(1, (1024 if unit.device.type == "cpu" else 8192) // regions)
        parts = [slice(i, min(i + step, len(unit))) for i in range(0, len(unit), step)]
        pairs = [(i, j) for n, i in enumerate(parts) for j in parts[n:]]
        buffers = unit.new_empty(2, min(step, len(unit)) ** 2)

        def block(i: slice, j: slice) -> Tensor:
            """The exponentials of some rows and columns."""
            rows, columns = unit[i], unit[j]
            out = buffers[0, : len(rows) * len(columns)].view(len(rows), len(columns))
            out.addmm_(rows, columns.mT, beta=0, alpha=1 / temperature).exp_()
            if i == j:
                photos = out.unflatten(0, (-1, regions)).unflatten(2, (-1, regions))
                some = kept[i.start // regions : i.stop // regions]
                photos.diagonal(dim1=0, dim2=2).mul_(some.permute(1, 2, 0))
            return out

        sums = unit.new_zeros(len(unit))
        for i, j in pairs:
            exponentials = block(i, j)
            sums[i] += exponentials.sum(1)
            if i != j:
                sums[j] += exponentials.sum(0)
        sums.clamp_(min=torch.finfo(unit.dtype).tiny)
        loss = (weight * (sums.log().view_as(found) - found)).sum()
        if not ctx.needs_input_grad[0]:
            return loss
        scale = weight.flatten() / sums
        gradient = torch.zeros_like(unit)
        for i, j in pairs:
            pull = block(i, j)
            both = buffers[1, : pull.numel()].view_as(pull)
            pull.mul_(torch.add(scale[i, None], scale[j], out=both))
            gradient[i].addmm_(pull, unit[j])
            if i != j:
                gradient[j].addmm_(pull.mT, unit[i])
        pushed = weight[..., None] * share
        gradient.view_as(vectors).baddbmm_(pushed + pushed.mT, unit.view_as(vectors), alpha=-1)
        gradient = _through_unit(gradient.div_(temperature), unit, lengths)
        ctx.save_for_backward(gradient.view_as(vectors))
        return loss

    @staticmethod
    def backward(ctx, incoming):
        _refuse_second_derivative()
        (gradient,) = ctx.saved_tensors
        return gradient * incoming, None, None, None


def _own_photo(
    ids: Integer[Tensor, "b 2 r"], dtype: torch.dtype, local_negatives: bool
) -> tuple[Float[Tensor, "b vr vr"], Float[Tensor, "b vr"], Float[Tensor, "b vr vr"]]:
    """Within a photo, both views together: shares of positives, weights, and who is candidate."""
    (one, two), r = ids.unbind(1), ids.shape[2]
    (forth, weight_one), (back, weight_two) = (
        _positives(mine, theirs, dtype) for mine, theirs in ((one, two), (two, one))
    )
    share = forth.new_zeros(len(ids), 2 * r, 2 * r)
    share[:, :r, r:], share[:, r:, :r] = forth, back
    if local_negatives:
        kept = torch.ones_like(share)
        kept[:, :r, :r] = one[:, :, None] != one[:, None, :]
        kept[:, r:, r:] = two[:, :, None] != two[:, None, :]
    else:
        kept = (share > 0).to(dtype)
    weight = torch.cat([weight_one, weight_two], 1) / one.numel()
    return share, weight, kept


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():  # create_graph=True
        raise RuntimeError(
            "contrastive_detection has no second derivative: its gradient is formed together "
            "with its value; call backward without create_graph"
        )


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


def _single_or_double(x: Float[Tensor, "i r d"]) -> Float[Tensor, "i r d"]:
    """The same numbers in float32, unless they came in float64."""
    return x if x.dtype == torch.float64 else x.float()


def _unit_vectors(x: Float[Tensor, "i r d"]) -> tuple[Float[Tensor, "ir d"], Float[Tensor, "ir 1"]]:
    """The vectors at length one, and what they were divided by."""
    x = x.flatten(0, 1)
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_(min=1e-12)
    return x / length, length


def _through_unit(
    gradient: Float[Tensor, "i d"], unit: Float[Tensor, "i d"], length: Float[Tensor, "i 1"]
) -> Float[Tensor, "i d"]:
    """The gradient of the vectors, from the gradient of the vectors at length one."""
    along = (unit * gradient).sum(1, keepdim=True)
    return (gradient - unit * along) / length


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
