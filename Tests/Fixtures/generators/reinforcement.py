"""Advantages, whitening, KL estimates and clipped losses of random rollouts, from definitions written out with NumPy and torch."""

import numpy as np
import torch

from ._common import write_json


def generate(folder):
    write_json(folder / "advantages.json", {
        "generalized": [generalized(seed, length, gamma, lam) for seed, length, gamma, lam in
                        [(0, 1, 1.0, 0.95), (1, 7, 1.0, 0.95), (2, 23, 0.97, 0.9), (3, 12, 1.0, 1.0), (4, 12, 0.9, 0.0)]],
        "whitened": [whitened(seed, count) for seed, count in [(5, 9), (6, 200)]],
        "groups": [groups(seed, count, size) for seed, count, size in [(7, 3, 4), (8, 5, 8), (9, 2, 2)]],
    })
    write_json(folder / "losses.json", {"policy": policy(), "value": value(), "kl": kl()})


def generalized(seed, length, gamma, lam):
    """A_t = sum_l (gamma lambda)^l delta_{t+l}: the sum itself, not the recursion."""
    random = np.random.default_rng(seed)
    rewards, values = random.normal(size=length), random.normal(size=length)
    following = np.append(values[1:], 0.0)
    delta = rewards + gamma * following - values
    advantages = [sum((gamma * lam) ** l * delta[t + l] for l in range(length - t)) for t in range(length)]
    return {"gamma": gamma, "lambda": lam, "rewards": rewards.tolist(), "values": values.tolist(),
            "advantages": [float(a) for a in advantages], "returns": (np.array(advantages) + values).tolist()}


def whitened(seed, count):
    x = np.random.default_rng(seed).normal(loc=0.3, scale=2.0, size=count)
    centred = (x - x.mean()) / np.sqrt(x.var(ddof=1) + 1e-8)
    return {"numbers": x.tolist(), "whitened": centred.tolist(), "with_mean": (centred + x.mean()).tolist()}


def groups(seed, count, size):
    rewards = np.random.default_rng(seed).normal(size=(count, size))
    rewards[0] = 0.25  # a group whose answers are all worth the same
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / (size - 1)
    return {"size": size, "rewards": rewards.ravel().tolist(),
            "group": (centred / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4)).ravel().tolist(),
            "batch": (centred / (rewards.std(ddof=1) + 1e-4)).ravel().tolist(),
            "none": centred.ravel().tolist(), "leave_one_out": (rewards - others).ravel().tolist()}


def policy():
    torch.manual_seed(10)
    old, advantage = -torch.rand(200, dtype=torch.float64) * 5, torch.randn(200, dtype=torch.float64)
    new = (old + 0.3 * torch.randn(200, dtype=torch.float64)).requires_grad_()
    low, high = 0.2, 0.28
    ratio = torch.exp(new - old)
    losses = torch.max(-advantage * ratio, -advantage * torch.clamp(ratio, 1 - low, 1 + high))
    losses.sum().backward()
    return {"low": low, "high": high, "old": old.tolist(), "new": new.tolist(), "advantages": advantage.tolist(),
            "losses": losses.tolist(), "derivatives": new.grad.tolist()}


def value():
    torch.manual_seed(11)
    old, target = torch.randn(200, dtype=torch.float64), torch.randn(200, dtype=torch.float64)
    new = (old + 0.3 * torch.randn(200, dtype=torch.float64)).requires_grad_()
    clipped = torch.clamp(new, old - 0.2, old + 0.2)
    losses = 0.5 * torch.max((new - target) ** 2, (clipped - target) ** 2)
    losses.sum().backward()
    return {"range": 0.2, "old": old.tolist(), "new": new.tolist(), "targets": target.tolist(),
            "losses": losses.tolist(), "derivatives": new.grad.tolist()}


def kl():
    random = np.random.default_rng(12)
    policy, reference = -random.exponential(size=50), -random.exponential(size=50)
    ratio = reference - policy
    return {"policy": policy.tolist(), "reference": reference.tolist(), "k1": (-ratio).tolist(),
            "k3": (np.exp(ratio) - 1 - ratio).tolist()}
