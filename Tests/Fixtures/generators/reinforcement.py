"""Advantages, whitening, KL estimates and clipped losses of random rollouts, from definitions written out with NumPy and torch; the
losses of whole rollouts by TRL's own code (GRPO, RLOO, online DPO), and of PPO written out with NumPy."""

from collections import defaultdict
from types import SimpleNamespace

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
    write_json(folder / "rollouts.json", rollouts())


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


LENGTHS = [7, 3, 5, 1]
LONGEST = 9
SCORES = [0.2, 0.9, 0.7, 0.1]


def rollouts():
    """Losses of four answers, with the derivative by each token's log-probability and value."""
    given = answers()
    cases = [grpo(given, loss_type=loss_type, beta=beta, level=level)
             for loss_type in ["grpo", "bnpo", "dr_grpo", "dapo"] for beta, level in [(0.0, "token"), (0.3, "token"), (0.1, "sequence")]]
    lists = {name: [row[:length].tolist() for row, length in zip(values, LENGTHS)] for name, values in given.items() if values.ndim == 2}
    return {"given": {**lists, "advantage": given["advantage"].tolist(), "scores": SCORES}, "longest": LONGEST,
            "grpo": cases, "rloo": [rloo(given)],
            "online_dpo": [online_dpo(given, loss_type, beta) for loss_type in ["sigmoid", "ipo"] for beta in [0.1, 0.7]], "ppo": [ppo(given, 0.0), ppo(given, 0.2)]}


def answers():
    random = np.random.default_rng(13)
    shape = (len(LENGTHS), max(LENGTHS))
    new = -random.exponential(size=shape)
    return {"new": new, "old": new + 0.25 * random.normal(size=shape), "reference": new + 0.4 * random.normal(size=shape),
            "values": random.normal(size=shape), "old_values": random.normal(size=shape), "returns": random.normal(size=shape),
            "advantages": random.normal(size=shape), "advantage": random.normal(size=len(LENGTHS))}


def stub(kind, new, **attributes):
    """A trainer of TRL's that knows nothing but what its loss reads."""
    trainer = object.__new__(kind)
    gathered = SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction=None: x, gather_for_metrics=lambda x: x)
    entropies = torch.zeros_like(new)
    attributes |= {
        "model": SimpleNamespace(training=True), "accelerator": gathered, "aux_loss_enabled": False,
        "current_gradient_accumulation_steps": 1, "epsilon_low": 0.2, "epsilon_high": 0.28, "_entropy_bonus_enabled": False,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "_get_per_token_logps_and_entropies": lambda *_, **__: (new, entropies, None)}
    for name, value in attributes.items():
        object.__setattr__(trainer, name, value)
    return trainer


def trl_inputs(given):
    mask = torch.tensor([[1 if t < length else 0 for t in range(max(LENGTHS))] for length in LENGTHS])
    ones = torch.ones((len(LENGTHS), 1), dtype=torch.long)
    return {"prompt_ids": ones, "prompt_mask": ones, "completion_ids": mask, "completion_mask": mask,
            "advantages": torch.tensor(given["advantage"]), "num_items_in_batch": mask.sum(),
            "old_per_token_logps": torch.tensor(given["old"]), "ref_per_token_logps": torch.tensor(given["reference"]),
            "old_logps": (torch.tensor(given["old"]) * mask).sum(1)}


def result(settings, new, loss):
    loss.backward()
    return {"settings": settings, "loss": float(loss), "gradient": [row[:length].tolist() for row, length in zip(new.grad, LENGTHS)]}


def grpo(given, loss_type, beta, level):
    from trl import GRPOTrainer

    new = torch.tensor(given["new"], requires_grad=True)
    trainer = stub(GRPOTrainer, new, top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level=level, beta=beta,
                   args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1), loss_type=loss_type,
                   use_vllm=False, max_completion_length=LONGEST)
    settings = {"loss_type": loss_type, "beta": beta, "importance_sampling_level": level, "epsilon": 0.2, "epsilon_high": 0.28}
    return result(settings, new, trainer._compute_loss(None, trl_inputs(given)))


def rloo(given):
    from trl import RLOOTrainer

    new = torch.tensor(given["new"], requires_grad=True)
    loss = stub(RLOOTrainer, new)._compute_loss(None, trl_inputs(given))
    return result({"epsilon": 0.2, "epsilon_high": 0.28}, new, loss)


def online_dpo(given, loss_type, beta):
    """Two prompts: the first answers of both, then the second ones."""
    from trl.experimental.online_dpo import OnlineDPOTrainer

    new = torch.tensor(given["new"], requires_grad=True)
    inputs = trl_inputs(given)
    losses = []
    # What is a property of the trainer cannot be set on one.
    kind = type("Trainer", (OnlineDPOTrainer,), {"beta": beta})
    trainer = stub(
        kind, new, eos_token_ids=[1], reward_funcs=[None], stats=defaultdict(list), ref_model="reference",
        args=SimpleNamespace(use_vllm=False, missing_eos_penalty=None, loss_type=loss_type, torch_empty_cache_steps=None, optim="adamw",
                             n_gpu=1, gradient_accumulation_steps=1),
        processing_class=SimpleNamespace(batch_decode=lambda ids, **_: ["" for _ in ids]),
        _generate=lambda *_: (inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"], inputs["completion_mask"], None),
        _forward=lambda model, *_: inputs["ref_per_token_logps"] if model == "reference" else new,
        _calculate_rewards_from_functions=lambda **_: torch.tensor(SCORES))
    trainer.accelerator.backward = losses.append
    trainer.training_step(SimpleNamespace(train=lambda: None), {"prompt": ["a", "b"]})
    return result({"loss_type": loss_type, "beta": beta}, new, losses[0])


def ppo(given, coefficient):
    """mean over tokens of max(-A r, -A clip(r)) + 0.1 * 0.5 * max of squared errors + coefficient * k3; derivatives by hand."""
    losses, gradient, value_gradient = [], [], []
    total = sum(LENGTHS)
    for row, length in enumerate(LENGTHS):
        new, old, ref, a, v, v_old, target = (given[name][row][:length] for name in
                                              ["new", "old", "reference", "advantages", "values", "old_values", "returns"])
        ratio = np.exp(new - old)
        plain, cut = -a * ratio, -a * np.clip(ratio, 0.8, 1.2)
        clipped = np.clip(v, v_old - 0.2, v_old + 0.2)
        kl = np.exp(ref - new) - 1 - (ref - new)
        squares = np.maximum((v - target) ** 2, (clipped - target) ** 2)
        losses += list(np.maximum(plain, cut) + 0.05 * squares + coefficient * kl)
        gradient.append((np.where(cut > plain, 0, plain) + coefficient * (1 - np.exp(ref - new))) / total)
        value_gradient.append(np.where((clipped - target) ** 2 > (v - target) ** 2, 0, 0.1 * (v - target)) / total)
    return {"settings": {"kl_coef": coefficient}, "loss": float(np.mean(losses)), "gradient": [g.tolist() for g in gradient],
            "value_gradient": [g.tolist() for g in value_gradient]}
