"""Supervised contrast of pixels as one matrix in PyTorch, the peer of `patchcl bench contrast`: reads a line, prints
the seconds that a forward and a backward pass took.

Usage: bench_contrast.py VECTORS THREADS
The released form of METHODS 2.3 with vectors of 128 numbers, four labels of which 0 is no anchor, temperature 0.1.
"""
import sys
import time

import torch


def loss(f, labels, tau=0.1):
    s = f @ f.T / tau
    itself = torch.eye(len(f), dtype=torch.bool)
    same = (labels[:, None] == labels[None, :]) & ~itself
    denominator = torch.logsumexp(s.masked_fill(itself, float("-inf")), dim=1)
    pull = (s * same).sum(1) / same.sum(1)
    return (denominator - pull)[labels > 0].mean()


def main():
    vectors, threads = map(int, sys.argv[1:3])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    f = torch.nn.functional.normalize(torch.randn(vectors, 128)).requires_grad_()
    labels = torch.randint(0, 4, (vectors,))
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        f.grad = None
        loss(f, labels).backward()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
