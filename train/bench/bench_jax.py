"""SSL4MIS's 2-D UNet in JAX, a peer of `patchcl bench`: reads "train" or "infer" per line, prints the seconds it took.

Usage: bench_jax.py channels_last BATCH SIZE THREADS cpu f32|bf16 jit
The network and the step are those of bench_torch.py: NHWC, bilinear upsampling, cross-entropy and Dice, SGD with momentum
and weight decay, one jitted function, buffers donated. bf16: maps and factors, parameters and statistics f32.
"""
import os
import sys
import time

LAYOUT, BATCH, SIZE, THREADS, DEVICE, MATH, MODE = sys.argv[1:8]
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=true"
os.environ["JAX_PLATFORMS"] = "cpu"
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(THREADS)])  # XLA takes as many threads as cores

import jax
import jax.numpy as jnp
from jax import lax

WIDTHS, RATES, CLASSES = (16, 32, 64, 128, 256), (0.05, 0.1, 0.2, 0.3, 0.5), 4
DATA = jnp.bfloat16 if MATH == "bf16" else jnp.float32


def conv(p, x):
    y = lax.conv_general_dilated(x, p["w"].astype(DATA), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p["b"].astype(DATA)


def norm_act(p, s, x, training):
    wide = x.astype(jnp.float32)
    mean, var = (wide.mean((0, 1, 2)), wide.var((0, 1, 2))) if training else s
    z = p["gamma"] * (wide - mean) * lax.rsqrt(var + 1e-5) + p["beta"]
    return jax.nn.leaky_relu(z, 0.01).astype(DATA), (mean, var)


def block(p, s, x, rate, training, key):
    moments = []
    for i, drop in ((0, rate), (1, 0.0)):
        x, m = norm_act(p[i]["norm"], s[i], conv(p[i]["conv"], x), training)
        moments.append(tuple(0.9 * old + 0.1 * new for old, new in zip(s[i], m)))
        if training and drop > 0:
            x = jnp.where(jax.random.bernoulli(key, 1 - drop, x.shape), x / (1 - drop), 0).astype(DATA)
    return x, moments


def upsample(x):
    """Bilinear with aligned corners, as two products with small matrices."""
    def matrix(n):
        at = jnp.arange(2 * n) * (n - 1) / (2 * n - 1)
        return jnp.maximum(0, 1 - jnp.abs(at[:, None] - jnp.arange(n))).astype(DATA)
    return jnp.einsum("ph,nhwc,qw->npqc", matrix(x.shape[1]), x, matrix(x.shape[2]))


def forward(p, s, images, training, key):
    x, skips, moments = images.astype(DATA), [], []
    keys = jax.random.split(key, len(WIDTHS))
    for i, rate in enumerate(RATES):
        if i:
            x = x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3]).max((2, 4))
        x, m = block(p["encoder"][i], s["encoder"][i], x, rate, training, keys[i])
        skips.append(x)
        moments.append(m)
    up = []
    for i, skip in enumerate(reversed(skips[:-1])):
        x = jnp.concatenate([skip, upsample(conv(p["reduce"][i], x))], axis=-1)
        x, m = block(p["decoder"][i], s["decoder"][i], x, 0.0, training, None)
        up.append(m)
    return conv(p["head"], x).astype(jnp.float32), {"encoder": moments, "decoder": up}


def loss(p, s, images, labels, key):
    logits, moments = forward(p, s, images, True, key)
    one_hot, probabilities = jax.nn.one_hot(labels, CLASSES), jax.nn.softmax(logits)
    cross_entropy = -(one_hot * jax.nn.log_softmax(logits)).sum(-1).mean()
    overlap = (probabilities * one_hot).sum((0, 1, 2))
    size = (probabilities**2).sum((0, 1, 2)) + one_hot.sum((0, 1, 2))
    return 0.5 * (cross_entropy + (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()), moments


def step(p, s, velocity, images, labels, key):
    (_, moments), gradient = jax.value_and_grad(loss, has_aux=True)(p, s, images, labels, key)
    velocity = jax.tree.map(lambda v, w, g: 0.9 * v + g + 1e-4 * w, velocity, p, gradient)
    return jax.tree.map(lambda w, v: w - 0.01 * v, p, velocity), moments, velocity


def parameters():
    keys = iter(jax.random.split(jax.random.key(1), 64))

    def conv_of(k, cin, cout):
        bound = (k * k * cin) ** -0.5
        draw = lambda shape: jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound)
        return {"w": draw((k, k, cin, cout)), "b": draw((cout,))}

    def half(cin, cout):
        return {"conv": conv_of(3, cin, cout), "norm": {"gamma": jnp.ones(cout), "beta": jnp.zeros(cout)}}

    up = list(reversed(WIDTHS))
    p = {"encoder": [[half(a, b), half(b, b)] for a, b in zip((1,) + WIDTHS, WIDTHS)],
         "reduce": [conv_of(1, a, b) for a, b in zip(up, up[1:])],
         "decoder": [[half(2 * b, b), half(b, b)] for b in up[1:]], "head": conv_of(3, WIDTHS[0], CLASSES)}
    moments = lambda c: (jnp.zeros(c), jnp.ones(c))
    s = {"encoder": [[moments(c), moments(c)] for c in WIDTHS], "decoder": [[moments(c), moments(c)] for c in up[1:]]}
    return p, s


def main():
    batch, size = int(BATCH), int(SIZE)
    images = jax.random.uniform(jax.random.key(2), (batch, size, size, 1))
    labels = jax.random.randint(jax.random.key(3), (batch, size, size), 0, CLASSES)
    p, s = parameters()
    velocity = jax.tree.map(jnp.zeros_like, p)
    train = jax.jit(step, donate_argnums=(0, 1, 2))
    infer = jax.jit(lambda p, s, images: forward(p, s, images, False, jax.random.key(0))[0])
    print(jax.__version__, sum(a.size for a in jax.tree.leaves(p)), flush=True)
    for count, line in enumerate(sys.stdin):
        start = time.perf_counter()
        if line.strip() == "train":
            p, s, velocity = jax.block_until_ready(train(p, s, velocity, images, labels, jax.random.key(count)))
        else:
            jax.block_until_ready(infer(p, s, images))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
