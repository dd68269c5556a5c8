"""Checkpoints as Haiku's ResNet leaves them, and its forward pass: channels last, SAME padding.

Written apart from the package's ResNet: numpy, one product of matrices for each place of a kernel.
"""

import numpy as np

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    200: (3, 24, 36, 3),
}
EPS = 1e-5


def make_checkpoint(
    depth=50, *, width=1.0, norms="batchnorm", network="res_net50", seed=0, project=True
):
    """All modules of a released checkpoint, with values that a trained network could have.

    Args:
        depth: 18 to 200.
        width: Multiplies the channels.
        norms: What norms are called.
        network: What the encoder is called.
        seed: Of the values.
        project: The official code (`utils/networks.py`) has a convolution on the shortcut of the
            first block of each group; Haiku's own ResNet-18 and -34 have none in the first group.
    """
    rng = np.random.default_rng(seed)
    modules = {}

    def conv(path, side, c, d):
        std = (2 / (side * side * c)) ** 0.5
        modules[path] = {"w": (std * rng.standard_normal((side, side, c, d))).astype("f4")}

    def norm(path, c):
        def draw(low, high):
            return rng.uniform(low, high, (1, 1, 1, c)).astype("f4")

        modules[path] = {"scale": draw(0.5, 1.0), "offset": draw(-0.2, 0.2)}
        for name, low, high in (("mean_ema", -0.2, 0.2), ("var_ema", 0.8, 1.5)):
            modules[f"{path}/~/{name}"] = {
                "hidden": draw(low, high),
                "average": draw(low, high),
                "counter": np.array(1234, np.int32),
            }

    root, deep = f"{network}/~", depth >= 50
    stem = round(64 * width)
    conv(f"{root}/initial_conv", 7, 3, stem)
    norm(f"{root}/initial_{norms}", stem)
    c = stem
    for group, num_blocks in enumerate(BLOCKS[depth]):
        inner = stem * 2**group
        out = inner * 4 if deep else inner
        for number in range(num_blocks):
            block = f"{root}/block_group_{group}/~/block_{number}/~"
            if number == 0 and (c != out or project):
                conv(f"{block}/shortcut_conv", 1, c, out)
                norm(f"{block}/shortcut_{norms}", out)
            sides = [(1, c, inner), (3, inner, inner), (1, inner, out)]
            for i, (side, before, after) in enumerate(
                sides if deep else [(3, c, out), (3, out, out)]
            ):
                conv(f"{block}/conv_{i}", side, before, after)
                norm(f"{block}/{norms}_{i}", after)
            c = out
    for head, num_inputs in (("projector", c), ("predictor", 16)):
        linear = {"w": np.ones((num_inputs, 8), "f4"), "b": np.zeros(8, "f4")}
        modules[f"{head}/linear"] = linear
        modules[f"{head}/batch_norm"] = {n: np.ones((1, 8), "f4") for n in ("scale", "offset")}
        modules[f"{head}/linear_1"] = {"w": np.ones((8, 16), "f4")}
    modules["classifier"] = {"w": np.ones((c, 10), "f4"), "b": np.zeros(10, "f4")}
    return modules


def pad_as_tensorflow(x, size, stride, value=0.0):
    """SAME: the output has ceil(side / stride) places; the odd pixel goes behind."""
    pads = []
    for side in x.shape[1:3]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=value)


def windows(x, size, stride):
    """For each place of the kernel, the pixels under it at all its positions."""
    ends = [x.shape[axis] - size + 1 for axis in (1, 2)]
    for i in range(size):
        for j in range(size):
            yield i, j, x[:, i : i + ends[0] : stride, j : j + ends[1] : stride]


def conv2d(x, w, stride):
    x = pad_as_tensorflow(x, w.shape[0], stride)
    return sum(part @ w[i, j] for i, j, part in windows(x, w.shape[0], stride))


def max_pool(x):
    x = pad_as_tensorflow(x, 3, 2, -np.inf)
    return np.max([part for _, _, part in windows(x, 3, 2)], axis=0)


def forward(modules, photos, *, norms="batchnorm", network="res_net50"):
    """Features [b h w c] of photos [b y x 3], as in evaluation."""
    root = f"{network}/~"

    def conv(path, x, stride=1):
        return conv2d(x, modules[path]["w"], stride)

    def norm(path, x):
        mean = modules[f"{path}/~/mean_ema"]["average"]
        variance = modules[f"{path}/~/var_ema"]["average"]
        scale = modules[path]["scale"] / np.sqrt(variance + EPS)
        return (x - mean) * scale + modules[path]["offset"]

    x = conv(f"{root}/initial_conv", photos, 2)
    x = max_pool(np.maximum(norm(f"{root}/initial_{norms}", x), 0))
    for group in range(4):
        number = 0
        while f"{root}/block_group_{group}/~/block_{number}/~/conv_0" in modules:
            block = f"{root}/block_group_{group}/~/block_{number}/~"
            stride = 2 if number == 0 and group > 0 else 1
            deep = f"{block}/conv_2" in modules
            y = x
            for i in range(3 if deep else 2):
                y = conv(f"{block}/conv_{i}", y, stride if i == (1 if deep else 0) else 1)
                y = norm(f"{block}/{norms}_{i}", y)
                y = np.maximum(y, 0) if i < (2 if deep else 1) else y
            if f"{block}/shortcut_conv" in modules:
                x = norm(f"{block}/shortcut_{norms}", conv(f"{block}/shortcut_conv", x, stride))
            x = np.maximum(x + y, 0)
            number += 1
    return x
