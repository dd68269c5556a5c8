"""Contrastive detection, computed fast: value and gradient in one pass, in chunks of rows.

`detcon.ops.contrast.plain_contrastive_detection` says what is computed; a test holds both kernels
to it. In the comments below, for anchor i and candidate j: x_ij is the cosine of their vectors,
t the temperature, E_ij = exp(x_ij / t), or 0 where j is no candidate of i, s_i = sum_j E_ij,
w_i the anchor's weight over the number of anchors, and y_ij its label, the share of the positive j.
The loss is sum_i w_i (log s_i - sum_j y_ij x_ij / t), and its gradient by x_ij is
w_i (E_ij / s_i - y_ij) / t.

Axes: b images of this rank, n images of all ranks, v views, r regions, d embedding, i any rows.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from detcon.ops.regions import match_regions

LEAST_LENGTH = 1e-6  # of a vector: the official code clamps its square at 1e-12
REMOVED = -1e9  # added to a similarity that is no candidate, as in the official code
SAFE_LOGIT = 40  # float32 holds exp(-40) and sums of a billion exp(40) without loss


class ChunkedContrast(torch.autograd.Function):
    """Cross-entropy of rows (anchors) against all columns (candidates).

    The matrix products should take the time, so passes over the similarities are few: one for exp,
    in place, and one for its sum. Cosines over a temperature lie within 1 / temperature of zero;
    up to `SAFE_LOGIT`, exp needs no maximum subtracted.
    """

    @staticmethod
    def forward(ctx, query, other, same, query_ids, other_ids, temperature, first, local_negatives):
        views = [other] if same is None else [other, same]
        rows, row_lengths = _unit_vectors(query)
        columns, column_lengths = map(torch.cat, zip(*map(_unit_vectors, views), strict=True))
        # y and w are small: an anchor's positives are all in its own image.
        positive, weight = (
            x.flatten(0, 1) for x in match_regions(query_ids, other_ids, rows.dtype)
        )
        removed = _removed(query_ids, positive, len(views), local_negatives)
        own = _own_columns(query_ids, first, len(views), len(columns))
        weight = weight[:, None] / len(rows)
        d_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        # Gathered transposed, [d, vnr]: the quicker product.
        d_columns = columns.new_empty(columns.mT.shape) if any(ctx.needs_input_grad[1:3]) else None
        losses = []
        chunks = _chunks(len(rows), len(columns))
        matrix = rows.new_empty(chunks[0].stop, len(columns))  # the memory of all chunks
        for part in chunks:
            at, w, share = own[part], weight[part], positive[part]
            at_other = at[:, : share.shape[1]]  # the anchor's own image in view two
            # x / t, and of it what the label asks for, before exp overwrites it
            logits = matrix[: len(at)].addmm_(rows[part], columns.mT, beta=0, alpha=1 / temperature)
            found = (share * logits.gather(1, at_other)).sum(1, keepdim=True)
            logits.scatter_add_(1, at, removed[part])
            top = 0.0
            if 1 / temperature > SAFE_LOGIT:
                top = logits.amax(1, keepdim=True)
                logits.sub_(top)
            # E and s; `tiny` keeps the logarithm finite in a row without candidates
            pull = logits.exp_()
            total = pull.sum(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny)
            losses.append((w * (total.log() + (top - found))).sum())
            # E - y s, which w / s / t turns into the gradient of the cosines. That factor is one
            # a row, so it is left to the narrow side of the products.
            pull.scatter_add_(1, at_other, -share * total)
            scale = w / total / temperature
            if d_rows is not None:
                torch.mm(pull, columns, out=d_rows[part]).mul_(scale)
            if d_columns is not None:  # beta = 0 at first: the memory is not yet set
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


class SymmetricContrast(torch.autograd.Function):
    """Cross-entropy of all regions of both views against each other, both directions added.

    Anchors and candidates are the same vectors, so x is symmetric, and so is E. An entry pulls on
    both of its vectors: the gradient by x_ij is E_ij (w_i / s_i + w_j / s_j) / t, less the part of
    the labels. So a triangle of blocks is enough. A first walk over them finds s; a second one
    computes the blocks again, and each gives the gradient of its rows and of its columns.
    """

    @staticmethod
    def forward(ctx, vectors, ids, temperature, local_negatives):
        regions = vectors.shape[1]  # those of view one, then those of view two
        unit, lengths = _unit_vectors(vectors)
        share, weight, kept = _own_photo(ids, unit.dtype, local_negatives)
        # The positives are in the anchor's own image: small products, one an image.
        own = unit.view_as(vectors) @ unit.view_as(vectors).mT / temperature
        found = (share * own).sum(-1)
        # Blocks hold whole images, so that what is removed lies on blocks of the diagonal.
        step = regions * max(1, (1024 if unit.device.type == "cpu" else 8192) // regions)
        parts = [slice(i, min(i + step, len(unit))) for i in range(0, len(unit), step)]
        pairs = [(i, j) for n, i in enumerate(parts) for j in parts[n:]]
        buffers = unit.new_empty(2, min(step, len(unit)) ** 2)

        def block(i: slice, j: slice) -> Tensor:
            """E of some rows and columns."""
            rows, columns = unit[i], unit[j]
            out = buffers[0, : len(rows) * len(columns)].view(len(rows), len(columns))
            out.addmm_(rows, columns.mT, beta=0, alpha=1 / temperature).exp_()
            if i == j:
                photos = out.unflatten(0, (-1, regions)).unflatten(2, (-1, regions))
                some = kept[i.start // regions : i.stop // regions]
                photos.diagonal(dim1=0, dim2=2).mul_(some.permute(1, 2, 0))
            return out

        sums = unit.new_zeros(len(unit))  # s; a block off the diagonal counts for its mirror image
        for i, j in pairs:
            exponentials = block(i, j)
            sums[i] += exponentials.sum(1)
            if i != j:
                sums[j] += exponentials.sum(0)
        sums.clamp_(min=torch.finfo(unit.dtype).tiny)  # of a row without candidates
        loss = (weight * (sums.log().view_as(found) - found)).sum()
        if not ctx.needs_input_grad[0]:
            return loss
        scale = weight.flatten() / sums
        gradient = torch.zeros_like(unit)  # of t times the loss, by the unit vectors
        for i, j in pairs:
            pull = block(i, j)
            both = buffers[1, : pull.numel()].view_as(pull)
            pull.mul_(torch.add(scale[i, None], scale[j], out=both))
            gradient[i].addmm_(pull, unit[j])
            if i != j:
                gradient[j].addmm_(pull.mT, unit[i])
        # The part of the labels, w y, pulls on the anchor and on its positive.
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
    """Within an image, both views together: y, w, and 1 where an entry is a candidate, else 0."""
    (one, two), r = ids.unbind(1), ids.shape[2]
    (forth, weight_one), (back, weight_two) = (
        match_regions(mine, theirs, dtype) for mine, theirs in ((one, two), (two, one))
    )
    share = forth.new_zeros(len(ids), 2 * r, 2 * r)
    share[:, :r, r:], share[:, r:, :r] = forth, back
    if local_negatives:
        kept = torch.ones_like(share)  # all but an anchor's copies in its own view
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
    """Added to an anchor's similarities with its own photo's entries: 0, or `REMOVED`."""
    itself = (query_ids[:, :, None] == query_ids[:, None, :]).flatten(0, 1)
    if not local_negatives:
        itself = torch.ones_like(itself)
    from_other = (positive == 0) & itself if not local_negatives else torch.zeros_like(itself)
    gone = torch.cat([from_other, itself][:num_views], dim=1)
    return gone.to(positive.dtype) * REMOVED


def _own_columns(
    query_ids: Integer[Tensor, "b r"], first: int, num_views: int, num_columns: int
) -> Integer[Tensor, "br vr"]:
    """The columns of an anchor's own photo, view by view.

    Columns are ordered by view, photo and region: view v, photo p, region s is v n r + p r + s.
    """
    b, r = query_ids.shape
    slots = torch.arange(r, device=query_ids.device)
    photo = torch.arange(first, first + b, device=query_ids.device).repeat_interleave(r)
    per_view = num_columns // num_views
    return torch.cat([photo[:, None] * r + slots + v * per_view for v in range(num_views)], 1)


def single_or_double(x: Float[Tensor, "i r d"]) -> Float[Tensor, "i r d"]:
    """The same numbers in float32, unless they came in float64."""
    return x if x.dtype == torch.float64 else x.float()


def _unit_vectors(x: Float[Tensor, "i r d"]) -> tuple[Float[Tensor, "ir d"], Float[Tensor, "ir 1"]]:
    """The vectors at length one, and what they were divided by."""
    x = x.flatten(0, 1)
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_(min=LEAST_LENGTH)
    return x / length, length


def _through_unit(
    gradient: Float[Tensor, "i d"], unit: Float[Tensor, "i d"], length: Float[Tensor, "i 1"]
) -> Float[Tensor, "i d"]:
    """The gradient by the vectors, from that by the vectors at length one.

    u = x / |x| doesn't change along x: only what is across u passes, divided by |x|. Where the
    length is clamped, u = x / 1e-6 is a plain scaling: all of the gradient passes.
    """
    along = (unit * gradient).sum(1, keepdim=True) * (length > LEAST_LENGTH)
    return (gradient - unit * along) / length
