"""From a photo's number to its views: decode, cut, sample regions. Runs in workers.

Axes: v views, c channels, r regions, h w feature grid, y x pixels, p parameters of colour.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy.random.bit_generator import ISeedSequence

from detcon.data.colour import NUM_PARAMETERS, draw_colour
from detcon.data.cut import draw_cut
from detcon.data.recipe import ViewsRecipe
from detcon.data.regions import split_in_halves
from detcon.masks.masks import Masks
from detcon.masks.store import MaskStore
from detcon.ops.labels import check_cells
from detcon.photos import Keys, Photos, TooManyUnreadable, UnreadablePhoto, shrink, upright_size
from detcon.progress import with_progress

MEMORY_LIMIT = 2**30  # bytes of decoded photos and masks that a dataset keeps
INSTEAD = 16  # photos that are tried in place of one that can't be read


class MasksDoNotFit(ValueError):
    """A store of masks that doesn't belong to the photos."""


@runtime_checkable
class MasksOfPhotos(Protocol):
    """A source of masks by photo key: a `MaskStore`, a dict, ..."""

    def __getitem__(self, key: str, /) -> Masks: ...

    def __contains__(self, key: str, /) -> bool: ...


@dataclass(frozen=True)
class Sample:
    """All views of one photo, numbered `index`; see `Batch` for the meanings."""

    images: UInt8[np.ndarray, "v c y x"]
    ids: Int64[np.ndarray, "v r"]
    weights: Float32[np.ndarray, "v r h w"]
    colour: Float32[np.ndarray, "v p"]
    index: int
    label: int | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    teacher_weights: Float32[np.ndarray, "v r th tw"] | None = None
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class _Held:
    """A decoded photo at 1/`factor` of `size`, in which cuts are drawn, and its masks."""

    photo: UInt8[np.ndarray, "y x c"]
    masks: Masks | None
    size: tuple[int, int]
    factor: int = 1


class PhotoViews:
    """The views of a collection of photos: `dataset[epoch, index]` is a `Sample`.

    Every draw comes from (seed, epoch, index, view), so a sample doesn't depend on which process
    asks for it, nor on what was asked before. Cut and colour are drawn before the regions: two
    methods with the same seed see the same pixels. Where `views.second` isn't `own`, view 2 draws
    only how regions are halved.

    Photos that the store lists as unreadable are left out; `left_out` names them. With `pass_over`,
    one that can't be read later is replaced by another, drawn from the same numbers.

    Attributes:
        keys: The names of the photos, by number.
        classes: Of the photos, by number; None without classes.
    """

    def __init__(
        self,
        photos: Photos,
        store: MasksOfPhotos | None,
        views: ViewsRecipe,
        *,
        grid: tuple[int, int],
        seed: int,
        num_views: int = 2,
        num_regions: int = 16,
        classes: Mapping[str, int] | None = None,
        max_side: int | None = None,
        cache: bool = True,
        pass_over: bool = False,
        teacher_grid: tuple[int, int] | None = None,
    ) -> None:
        """Checks that photos and masks belong together; reads no photo yet.

        Args:
            store: The masks of its photos; None for one mask, the whole image (id 0, weights 1).
            grid: Rows and columns of the encoder's output for a view.
            num_regions: How many masks are sampled in each view.
            classes: The class of each photo by key, for supervised pretraining.
            max_side: Photos are shrunk to this before anything is cut out of them.
            cache: Whether `keep_in_memory` may keep anything.
            pass_over: Whether another photo takes the place of one that can't be read.
            teacher_grid: Rows and columns of a teacher's output for a view, for weights of the
                same regions there; None without a teacher.

        Raises:
            MasksDoNotFit: Photos have no masks in the store.
            ValueError: Settings that don't go together.
        """
        if views.reduced_decode and max_side is not None:
            raise ValueError(
                f"views.reduced_decode cuts from photos as they are on the disk, but "
                f"max_side={max_side} shrinks them first; leave one of the two out"
            )
        if teacher_grid is not None and (views.second != "own" or views.absent):
            raise ValueError(
                "a teacher needs views.second=own and views.absent=false: it compares whole "
                "regions that the view shows"
            )
        if views.second == "halves" and (store is None or num_views < 2):
            raise ValueError(
                "views.second=halves splits masks between two views, but there are no masks, or "
                "one view; leave views.second=own"
            )
        unreadable = getattr(store, "unreadable", {})  # a MaskStore knows; a plain dict doesn't
        self.photos, self.store, self.views = photos, store, views
        self.grid, self.seed, self.num_regions = grid, seed, num_regions
        self.teacher_grid = teacher_grid
        self.num_views, self.max_side = num_views, max_side
        self.left_out: list[str] = []
        self.keys: Sequence[str] = photos.keys
        if unreadable:
            self.left_out = [key for key in photos.keys if key in unreadable]
            self.keys = Keys(key for key in photos.keys if key not in unreadable)
        if store is not None:
            check_cells((views.size, views.size), grid)
            known = isinstance(store, MaskStore)  # it checks a million keys faster
            missing = (
                store.missing(self.keys) if known else [k for k in self.keys if k not in store]
            )
            if missing:
                raise MasksDoNotFit(
                    f"{len(missing)} of the {len(self.keys)} photos in {photos.source} have no "
                    f"masks, the first is {missing[0]}; give 'detcon masks' "
                    f"all of these photos and another out="
                )
        self.classes: Int64[np.ndarray, " n"] | None = None
        if classes is not None:
            self.classes = np.array([classes[key] for key in self.keys])
        self._cache = cache and not views.reduced_decode  # how far it reduces, each epoch decides
        self._held: list[_Held | UnreadablePhoto] | None = None
        self.pass_over = pass_over

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """The views of photo number `index` in an epoch, from `(epoch, index)`.

        Raises:
            UnreadablePhoto: The photo can't be decoded, and isn't to be passed over.
            TooManyUnreadable: None of those tried in its place can be decoded, either.
            MasksDoNotFit: Its masks were made on a photo of another size.
        """
        epoch, index = place
        begin = time.perf_counter()
        number, held, passed_over = self._find(epoch, index)
        read = time.perf_counter()
        views, regions, side = self.num_views, self.num_regions, self.views.size
        sample = Sample(
            images=np.empty((views, self.photos.channels, side, side), np.uint8),
            ids=np.empty((views, regions), np.int64),
            weights=np.empty((views, regions, *self.grid), np.float32),
            colour=np.empty((views, NUM_PARAMETERS), np.float32),
            index=number,
            label=None if self.classes is None else int(self.classes[number]),
            passed_over=passed_over,
            teacher_weights=None
            if self.teacher_grid is None
            else np.ones((views, regions, *self.teacher_grid), np.float32),
        )
        drawn = views if self.views.second == "own" else 1
        for view in range(drawn):
            self._fill(sample, view, held, self.draws(epoch, index, view))
        if drawn < views:  # view 2 is made of view 1
            for one, two in (sample.images, sample.ids, sample.colour, sample.weights):
                two[:] = one
        if self.views.second == "halves":
            rng = self.draws(epoch, index, 1)
            sample.weights[:] = split_in_halves(sample.ids[0], sample.weights[0], rng)
        sample.seconds.update(reading=read - begin, cutting=time.perf_counter() - read)
        return sample

    def __getstate__(self) -> dict[str, object]:
        """A pickled copy holds no photos in memory: forked processes share those."""
        return {**self.__dict__, "_held": None}

    def draws(self, epoch: int, index: int, view: int) -> np.random.Generator:
        """The source of all randomness of one view."""
        return _generator(f"{self.seed} {epoch} {index} {view}")

    def keep_in_memory(self, limit: int = MEMORY_LIMIT) -> bool:
        """Decodes all photos and keeps them, if they fit in `limit` bytes with their masks.

        Called before worker processes fork, which then share them. A sample of 16 photos decides
        whether it is tried. Returns whether everything is in memory, and raises as `[]` does.
        """
        if self._held is not None or not self._cache:
            return self._held is not None
        trial = range(0, len(self), max(1, len(self) // 16))
        mean = sum(_nbytes(self._take(index)) for index in trial) / len(trial)
        if not 0 < mean * len(self) <= limit:
            return False
        held, total = [], 0
        for index in with_progress(range(len(self)), "reading photos", len(self), transient=True):
            held.append(self._take(index))
            total += _nbytes(held[-1])
            if total > limit:
                return False
        self._held = held
        return True

    def _find(self, epoch: int, index: int) -> tuple[int, _Held, tuple[tuple[str, str], ...]]:
        """The photo of a place, or the first readable one of those drawn as its replacement."""
        passed_over: dict[str, str] = {}
        for number in self._candidates(epoch, index):
            held = self._take(number, (epoch, index))
            if not isinstance(held, UnreadablePhoto):
                return number, held, tuple(passed_over.items())
            passed_over[self.keys[number]] = str(held)
        hint = " (is the disk there?)" if isinstance(held.__cause__, OSError) else ""
        raise TooManyUnreadable(
            f"{len(passed_over)} photos of {self.photos.source}, tried one after another, can't be "
            f"read; {held}{hint}"
        )

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        """A place's photo, then random ones: if one is lost, its neighbours often are too."""
        yield index
        rng = _generator(f"{self.seed} {epoch} {index} instead")
        yield from rng.integers(len(self), size=INSTEAD).tolist()

    def _take(self, number: int, place: tuple[int, int] = (0, 0)) -> _Held | UnreadablePhoto:
        """A photo from memory or the disk; its error, if it may be passed over."""
        if self._held is not None:
            return self._held[number]
        try:
            return self._load(number, place)
        except UnreadablePhoto as error:
            if not self.pass_over:
                raise
            return error

    def _load(self, number: int, place: tuple[int, int]) -> _Held:
        """Reads a photo and its masks; `place` matters only for reduced decoding."""
        key = self.keys[number]
        data = self.photos.data(key)
        whole = upright_size(data) if self.views.reduced_decode else None
        factor = 1 if whole is None else self._factor(whole, *place)
        photo = self.photos.decode(key, data, factor)
        size = _size(photo) if whole is None else whole
        masks = None if self.store is None else self.store[key]
        if masks is not None and tuple(masks.size) != size:
            raise MasksDoNotFit(
                f"the masks of {key} were made on a photo of {masks.size[0]} x {masks.size[1]} "
                f"pixels, but in {self.photos.source} it has {size[0]} x {size[1]}; make the masks "
                f"of these photos again, into a new folder"
            )
        photo = shrink(photo, self.max_side)
        return _Held(photo, masks, _size(photo) if whole is None else whole, factor)

    def _factor(self, size: tuple[int, int], epoch: int, index: int) -> int:
        """By how much a photo can be reduced before its two views are cut, even if one is used."""
        cuts = [draw_cut(self.draws(epoch, index, view), size, self.views) for view in (0, 1)]
        shrink = min(min(cut.height, cut.width) for cut in cuts) / self.views.size
        return max(factor for factor in (1, 2, 4, 8) if factor <= max(shrink, 1))

    def _fill(self, sample: Sample, view: int, held: _Held, rng: np.random.Generator) -> None:
        """Draws and makes one of the views of a sample."""
        cut = draw_cut(rng, held.size, self.views)
        sample.colour[view] = draw_colour(rng, self.views.colour[view])
        seen = cut if held.factor == 1 else cut.reduced(held.factor)
        image = seen.image(held.photo, self.views.size, self.views.resize)
        cv2.split(image, list(sample.images[view]))  # writes into these
        if held.masks is None:
            sample.ids[view], sample.weights[view] = 0, 1
            return
        options = {"num_regions": self.num_regions, **self.views.drawing}
        sample.ids[view], sample.weights[view] = cut.weights(
            held.masks, held.size, self.views.size, self.grid, rng=rng, **options
        )
        if sample.teacher_weights is not None and self.teacher_grid is not None:
            sample.teacher_weights[view] = cut.shares(
                held.masks, held.size, self.views.size, self.teacher_grid, sample.ids[view]
            )


def _nbytes(held: _Held | UnreadablePhoto) -> int:
    if isinstance(held, UnreadablePhoto):
        return 0
    return held.photo.nbytes + (held.masks.patterns.nbytes if held.masks else 0)


def _size(photo: UInt8[np.ndarray, "y x c"]) -> tuple[int, int]:
    return photo.shape[0], photo.shape[1]


class _Words(ISeedSequence):
    """Seeds a random generator with given words."""

    def __init__(self, state: bytes) -> None:
        self.state = np.frombuffer(state, "<u8")

    def generate_state(self, n_words: int, dtype: type = np.uint64) -> np.ndarray:
        return self.state


def _generator(place: str) -> np.random.Generator:
    """A separate generator for each place, at a quarter of the cost of `SeedSequence`."""
    state = hashlib.blake2b(place.encode(), digest_size=32).digest()
    words = np.random.PCG64(_Words(state))  # pyright: ignore[reportArgumentType]  numpy takes it
    return np.random.Generator(words)
