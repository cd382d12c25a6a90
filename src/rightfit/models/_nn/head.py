"""Heads on features computed once: linear, support vector, one hidden layer, nearest neighbours; each a torch module.

A head maps features (n, d) to what the loop's nets return: logits for classes and labels, else values; so that the
encoder and the head are exported as one graph.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models._nn import hidden
from rightfit.models._nn.loop import finish
from rightfit.models._nn.steps import inner_split
from rightfit.records import Task, frozen

PATH = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)  # strengths tried, from the strongest
PATIENCE = 2  # strengths in a row that are no better, after which weaker ones are not tried
ITERATIONS = 300
NEVER = -30.0  # the logit of a class without rows
NEIGHBOURS, TEMPERATURE = 20, 0.07  # Caron et al. 2021 (DINO), whose k-NN is this one
MOST_STORED, STORED_WIDTH = 5000, 128
# On 12,000 pictures of CIFAR-10 by HOG (1,908 features), asking 4,000 rows chose the same strengths as asking all, in
# half of the time; 2,000 cost the support vectors 0.3 points.
MOST_ASKED = 4000
PART = 2048  # rows whose deviations are squared at a time
ASK_ROWS = 60  # fewer rows are not split to choose a strength


@frozen
class Problem:
    """What a head learns from. X: float32 (n, d), which `fit` standardises in place: of many rows two copies are dear.

    y as in Rows, values standardised; weight (n,) or None.
    """

    X: Any
    y: Any
    weight: Any = None
    groups: Any = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Any) -> Problem:
        """The rows at positions (m,)."""
        return Problem(X=self.X[rows], y=self.y[rows], weight=None if self.weight is None else self.weight[rows],
                       groups=None if self.groups is None else self.groups[rows])

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        """One float32 tensor (m, d): what the training loop asks of rows."""
        import torch

        return (torch.from_numpy(self.X[positions]),)


def fit(kind: str, rows: Problem, params: Mapping[str, Any], task: Task, *, seed: int,
        deadline: float) -> tuple[Any, dict[str, Any]]:
    """(torch module, what was learned) of a head: linear, svm, mlp or knn.

    linear: logistic or ridge regression; svm: squared hinge, one against the rest (Tang 2013), its scores scaled to
    probabilities on inner rows; mlp: one hidden layer; knn: votes of the nearest by cosine. `l2` auto chooses the
    strength on inner rows.
    """
    if kind == "knn":
        return _neighbours(rows, params, task, seed), {}
    centre, scale = _moments(rows.X)
    # Features that hardly vary would become noise with a scale of their own.
    scale = np.maximum(scale, 0.1 * float(scale.mean()) + 1e-12)
    if kind == "mlp":
        net = hidden.fit(rows, (centre, scale), task, seed=seed, deadline=deadline)
        silence(net[-1], absent(rows.y, task))
        return net, {}
    spread = scale * np.sqrt(rows.X.shape[1])
    rows.X[:] -= centre
    rows.X[:] /= spread
    told = params.get("l2", "auto")
    strength, sharp, start = 1e-4 if told == "auto" else float(told), 1.0, None
    split = _inner(rows, task, seed) if told == "auto" or kind == "svm" else None
    if split is not None:
        path = PATH if told == "auto" else (strength,)
        until = deadline if deadline == float("inf") else time.monotonic() + (deadline - time.monotonic()) * 0.6
        strength, sharp, start = _choose(kind, rows, split, path, task, until)
    weights = _solve(kind, rows, strength, start, task, deadline) * sharp
    W, b = weights[:-1] / spread[:, None], weights[-1] - (centre / spread) @ weights[:-1]
    for code in absent(rows.y, task):
        W[:, code], b[code] = 0.0, NEVER
    return linear(W, b), {"l2": strength}


def _moments(X: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of the columns, float32 (d,) each, without a second array of the size of X."""
    centre = X.mean(axis=0, dtype=np.float64)
    squares = np.zeros(X.shape[1])
    for at in range(0, len(X), PART):
        squares += ((X[at:at + PART] - centre) ** 2).sum(axis=0)
    return centre.astype(np.float32), np.sqrt(squares / len(X)).astype(np.float32)


def _inner(rows: Problem, task: Task, seed: int) -> tuple[Any, Any] | None:
    if len(rows) < ASK_ROWS:
        return None
    random = np.random.default_rng(seed)
    found = inner_split(rows, task, random)
    if found is None:
        order = random.permutation(len(rows))
        found = order[len(rows) // 5:], order[:len(rows) // 5]
    return random.permutation(found[0])[:MOST_ASKED], found[1]


def silence(layer: Any, codes: list[int]) -> None:
    """Classes without rows stay improbable, whatever label smoothing gave them."""
    import torch

    with torch.no_grad():
        layer.weight[codes] = 0.0
        layer.bias[codes] = NEVER


def absent(y: Any, task: Task) -> list[int]:
    """The codes of the classes that have no row."""
    if not task.classifies or np.ndim(y) != 1:
        return []
    return sorted(set(range(max(len(task.classes), 2))) - set(np.unique(y).tolist()))


def _choose(kind: str, rows: Problem, split: tuple[Any, Any], path: tuple[float, ...], task: Task,
            deadline: float) -> tuple[float, float, Any]:
    """(strength, sharpness of the scores, weights) with the least loss on the inner rows, each from the one before.

    Of many rows a part is asked; a mean loss over fewer rows wants that much more strength.
    """
    share = len(split[0]) / (len(rows) - len(split[1]))
    train, valid = rows.take(split[0]), rows.take(split[1])
    best, weights, worse = float("inf"), None, 0
    found: tuple[float, float, Any] = (path[min(len(path) - 1, 6)], 1.0, None)
    for strength in path:
        weights = _solve(kind, train, strength / share, weights, task, deadline)
        scores = valid.X @ weights[:-1] + weights[-1]
        sharps = np.geomspace(0.25, 16, 13) if kind == "svm" and task.classifies else (1.0,)
        losses = [_loss(scores * sharp, valid, task) for sharp in sharps]
        loss = min(losses)
        if loss < best:
            best, found, worse = loss, (strength, float(sharps[int(np.argmin(losses))]), weights), 0
        else:
            worse += 1
        if worse >= PATIENCE or time.monotonic() >= deadline:
            break
    return found


def _loss(logits: Any, rows: Problem, task: Task) -> float:
    """Log loss or squares, weighted as the rows are: what is fitted and what is chosen by must be the same."""
    p, y = finish(logits, task), np.asarray(rows.y)
    if task.problem == "multilabel":
        p = np.clip(p, 1e-9, 1 - 1e-9)
        each = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p), axis=1)
    elif task.classifies:
        each = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-9))
    else:
        each = np.mean((p - y.reshape(p.shape)) ** 2, axis=1)
    weight = None if rows.weight is None or not np.sum(rows.weight) > 0 else rows.weight
    return float(np.average(each, weights=weight))


def _target(y: Any, task: Task) -> Any:
    """(n, k): one-hot classes, labels, or values."""
    if task.classifies and task.problem != "multilabel":
        return np.eye(max(len(task.classes), 2), dtype=np.float32)[np.asarray(y, dtype=np.int64)]
    return np.asarray(y, dtype=np.float32).reshape(len(y), -1)


def _solve(kind: str, rows: Problem, strength: float, start: Any, task: Task, deadline: float) -> Any:
    """(d + 1, k) weights, the last row the bias, that minimise mean loss + strength / 2 |W|^2; by L-BFGS, in time."""
    from scipy.optimize import minimize

    T, n, d = _target(rows.y, task), len(rows), rows.X.shape[1]
    weight = np.ones(n, np.float32) if rows.weight is None else np.asarray(rows.weight, np.float32)
    weight = (weight / max(float(weight.sum()), 1e-30))[:, None]
    hinge = kind == "svm" and task.classifies

    def slope(scores: Any) -> tuple[float, Any]:
        if hinge:
            side = 2 * T - 1
            short = np.maximum(1 - side * scores, 0)
            return float((weight * short**2).sum()) / 2, -weight * side * short
        if not task.classifies:
            return float((weight * (scores - T) ** 2).sum()) / 2, weight * (scores - T)
        p = finish(scores, task).astype(np.float32)
        if task.problem == "multilabel":
            q = np.clip(p, 1e-7, 1 - 1e-7)
            return float(-(weight * (T * np.log(q) + (1 - T) * np.log(1 - q))).sum()), weight * (p - T)
        return float(-(weight * T * np.log(np.maximum(p, 1e-12))).sum()), weight * (p - T)

    def value(flat: Any) -> tuple[float, Any]:
        V = flat.reshape(d + 1, -1).astype(np.float32)
        loss, by_score = slope(rows.X @ V[:-1] + V[-1])
        gradient = np.concatenate([rows.X.T @ by_score + strength * V[:-1], by_score.sum(axis=0)[None]])
        return loss + strength / 2 * float((V[:-1] ** 2).sum()), gradient.astype(np.float64).ravel()

    def stop(flat: Any) -> None:
        if time.monotonic() >= deadline:
            raise StopIteration

    if start is None:
        start = np.zeros((d + 1, T.shape[1]))
        start[-1] = prior((weight * T).sum(axis=0), task)
    if time.monotonic() >= deadline:
        return start
    found = minimize(value, start.ravel(), jac=True, method="L-BFGS-B", callback=stop,
                     options={"maxiter": ITERATIONS, "gtol": 1e-5})
    return found.x.reshape(start.shape)


def prior(mean: Any, task: Task) -> Any:
    """The logits (k,) of a head that knows only how often each class is, or the mean values.

    >>> prior(np.array([0.5, 0.5]), Task(modality="text", problem="binary", target=("y",), metric="")).round(2).tolist()
    [-0.69, -0.69]
    """
    p = np.clip(np.asarray(mean, dtype=np.float64), 1e-4, 1 - 1e-4)
    if task.problem == "multilabel":
        return np.log(p / (1 - p))
    return np.log(p) if task.classifies else np.asarray(mean, dtype=np.float64)


def constant(y: Any, weight: Any, width: int, task: Task) -> Any:
    """A head for features (n, width) that answers the class frequencies, or the mean, whatever it sees."""
    return linear(np.zeros((width, _target(y, task).shape[1])), base_rate(y, weight, task))


def base_rate(y: Any, weight: Any, task: Task) -> Any:
    """The logits (k,) of the weighted class frequencies, or the mean values."""
    return prior(np.average(_target(y, task), axis=0, weights=weight), task)


def linear(W: Any, b: Any) -> Any:
    """A torch linear layer with W (d, k) and b (k,)."""
    import torch

    layer = torch.nn.Linear(*W.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.asarray(W, dtype=np.float32).T))
        layer.bias.copy_(torch.from_numpy(np.asarray(b, dtype=np.float32)))
    return layer


def _neighbours(rows: Problem, params: Mapping[str, Any], task: Task, seed: int) -> Any:
    """Votes of the nearest rows by cosine, after the features were turned to their main directions."""
    random = np.random.default_rng(seed)
    n = len(rows)
    keep = np.sort(random.permutation(n)[:MOST_STORED])
    X = rows.X[keep].astype(np.float64)
    centre = X.mean(axis=0)
    some = X[random.permutation(len(X))[:2000]] - centre
    width = min(STORED_WIDTH, X.shape[1], max(len(some) - 1, 1))
    _, _, turn = np.linalg.svd(some, full_matrices=False)
    stored = (X - centre) @ turn[:width].T
    stored /= np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
    weight = np.ones(n) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64)
    T = _target(rows.y, task)
    return _module(turn[:width].T, -(centre @ turn[:width].T), stored, T[keep],
                   weight[keep] / max(weight[keep].mean(), 1e-30), T.mean(axis=0),
                   (min(int(params.get("neighbours", NEIGHBOURS)), len(keep)), task))


def _module(turn: Any, shift: Any, stored: Any, target: Any, weight: Any, base: Any, how: tuple[int, Task]) -> Any:
    import torch

    neighbours, task = how

    class Neighbours(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Logits, or values, from the weighted votes of the nearest stored rows."""

        turn: Any
        shift: Any
        stored: Any
        target: Any
        weight: Any
        base: Any

        def __init__(self) -> None:
            super().__init__()
            for name, value in (("turn", turn), ("shift", shift), ("stored", stored.T), ("target", target),
                                ("weight", weight), ("base", base)):
                self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))

        def forward(self, x: Any) -> Any:
            x = x @ self.turn + self.shift
            x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
            near, which = torch.topk(x @ self.stored, neighbours, dim=1)
            vote = torch.exp((near - near[:, :1]) / TEMPERATURE) * self.weight[which]
            share = (vote[:, :, None] * self.target[which]).sum(dim=1) / vote.sum(dim=1, keepdim=True).clamp_min(1e-12)
            if not task.classifies:
                return share
            share = (share * neighbours + self.base) / (neighbours + 1.0)
            share = share.clamp(1e-6, 1 - 1e-6)
            return torch.log(share / (1 - share)) if task.problem == "multilabel" else torch.log(share)

    return Neighbours()
