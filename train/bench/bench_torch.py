"""SSL4MIS's 2-D UNet in PyTorch, the peer of `patchcl bench`: reads "train" or "infer" per line, prints the seconds it took.

Usage: bench_torch.py contiguous|channels_last BATCH SIZE THREADS [cpu|cuda f32|tf32|bf16 eager|compile|graph]
The network is METHODS 4.3 (bilinear upsampling, 1,813,764 parameters); the step is cross-entropy and Dice, backward, SGD
with momentum and weight decay, written the way a PyTorch user would.
"""
import sys
import time

import torch
from torch import nn
import torch.nn.functional as F


def block(cin, cout, dropout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.LeakyReLU(), nn.Dropout(dropout),
                         nn.Conv2d(cout, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.LeakyReLU())


class UNet(nn.Module):
    def __init__(self, classes=4, widths=(16, 32, 64, 128, 256), dropout=(0.05, 0.1, 0.2, 0.3, 0.5)):
        super().__init__()
        self.encoder = nn.ModuleList(block(cin, cout, p) for cin, cout, p in zip((1,) + widths, widths, dropout))
        up = list(reversed(widths))
        self.reduce = nn.ModuleList(nn.Conv2d(cin, cout, 1) for cin, cout in zip(up, up[1:]))
        self.decoder = nn.ModuleList(block(2 * c, c, 0.0) for c in up[1:])
        self.head = nn.Conv2d(widths[0], classes, 3, padding=1)

    def forward(self, x):
        skips = []
        for i, level in enumerate(self.encoder):
            x = level(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for reduce, level, skip in zip(self.reduce, self.decoder, reversed(skips[:-1])):
            x = F.interpolate(reduce(x), scale_factor=2, mode="bilinear", align_corners=True)
            x = level(torch.cat([skip, x], dim=1))
        return self.head(x)


def dice(probabilities, labels):
    one_hot = F.one_hot(labels, probabilities.shape[1]).permute(0, 3, 1, 2).float()
    overlap = (probabilities * one_hot).sum((0, 2, 3))
    size = (probabilities * probabilities).sum((0, 2, 3)) + (one_hot * one_hot).sum((0, 2, 3))
    return (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()


def captured(call):
    """The call as a CUDA graph, after the runs on a side stream that capture wants."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def main():
    layout, batch, size, threads = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    device, math, mode = sys.argv[5:8] if len(sys.argv) > 5 else ("cpu", "f32", "eager")
    on_gpu = device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = math != "f32"
    torch.backends.cudnn.benchmark = True
    net = UNet().to(device, memory_format=memory)
    images = torch.rand(batch, 1, size, size).contiguous(memory_format=memory).to(device)
    labels = torch.randint(0, 4, (batch, size, size)).to(device)
    model = torch.compile(net) if mode == "compile" else net
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    print(torch.__version__, sum(p.numel() for p in net.parameters()), flush=True)

    def train():
        net.train()
        with torch.autocast(device, torch.bfloat16, enabled=math == "bf16"):
            logits = model(images)
        logits = logits.float()
        loss = 0.5 * (F.cross_entropy(logits, labels) + dice(torch.softmax(logits, dim=1), labels))
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    def infer():
        net.eval()
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=math == "bf16"):
            model(images)

    calls = {"train": train, "infer": infer}
    if mode == "graph":
        calls = {what: captured(call) for what, call in calls.items()}
    steps = 10 if on_gpu else 1
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(steps):
            calls[line.strip()]()
        if on_gpu:
            torch.cuda.synchronize()
        print((time.perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main()
