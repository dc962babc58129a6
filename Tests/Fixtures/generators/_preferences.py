"""Pairs and labelled answers made of the training goldens' conversations, and TRL's losses on log-probabilities that are given."""

import itertools
from types import SimpleNamespace

import torch
from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from ._common import floats, seeded
from ._rows import CONVERSATIONS

# The other answer of a pair is what another conversation ends with.
PAIRS = [
    {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": CONVERSATIONS[(index * 7 + 5) % 24][-1:]}
    for index, messages in enumerate(CONVERSATIONS)]
UNPAIRED = [
    {"prompt": pair["prompt"], "completion": pair["chosen" if index % 3 else "rejected"], "label": bool(index % 3)}
    for index, pair in enumerate(PAIRS)]
PLAIN_PAIRS = [
    {"prompt": f"Question: {pair['prompt'][-1]['content']}\nAnswer:", "chosen": f" {pair['chosen'][0]['content']}",
     "rejected": f" {pair['rejected'][0]['content']}"} for pair in PAIRS]
# Both answers hold the prompt, as text and as messages.
IMPLICIT_PLAIN = [{key: row["prompt"] + row[key] for key in ("chosen", "rejected")} for row in PLAIN_PAIRS]
IMPLICIT = [{key: row["prompt"] + row[key] for key in ("chosen", "rejected")} for row in PAIRS]

ROWS = 5
LENGTHS = {"chosen": [4, 7, 1, 9, 3], "rejected": [6, 2, 8, 9, 1]}
WIDTH = 9


class Accelerator:
    device = torch.device("cpu")
    gather = staticmethod(lambda value: value)
    gather_for_metrics = staticmethod(lambda value: value)


class Model(torch.nn.Module):
    """A model whose scores are given."""
    is_gradient_checkpointing = False

    def __init__(self, log_probs, scores):
        super().__init__()
        self.output = SimpleNamespace(log_probs=log_probs, **scores)

    def forward(self, **_):
        return self.output


def given_scores() -> dict:
    lengths = LENGTHS["chosen"] + LENGTHS["rejected"]
    mask = torch.tensor([[0] + [1] * length + [0] * (WIDTH - length) for length in lengths])
    inside = mask[:, 1:]

    def draw(name, std=1.0, mean=0.0):
        return seeded(f"preference losses/{name}", inside.shape, std, mean) * inside
    policy = -draw("policy", 1.2, 1.5).abs()
    return {
        "mask": mask, "policy": policy, "reference": policy + draw("reference", 0.6, 0.05),
        "entropy": draw("entropy", 0.5, 2).abs(), "mean_logits": draw("logits", 2), "is_top1": draw("hits") > 0,
        "log_sum_sq_probs": -draw("squares", 0.4, 1.2).abs()}


def rows_of(tensor, name: str) -> list[list[float]]:
    half = tensor[:ROWS] if name == "chosen" else tensor[ROWS:]
    # Nine digits are a float.
    return [[float(f"{value:.9g}") for value in floats(row[:length])] for row, length in zip(half, LENGTHS[name])]


def by_answer(tensor) -> dict:
    return {name: rows_of(tensor, name) for name in LENGTHS}


def dpo_case(given: dict, **options) -> dict:
    settings = {
        "loss_type": ["sigmoid"], "loss_weights": None, "beta": 0.1, "label_smoothing": 0.0, "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5, "discopop_tau": 0.05, "ld_alpha": None, "use_weighting": False, **options}
    policy = given["policy"].clone().requires_grad_()
    scores = {key: given[key] for key in ("entropy", "mean_logits", "is_top1", "log_sum_sq_probs")}
    model = Model(policy, scores)
    trainer = SimpleNamespace(
        model=model, ref_model=Model(given["reference"], scores), accelerator=Accelerator, precompute_ref_logps=False,
        aux_loss_enabled=False, loss_types=settings["loss_type"],
        loss_weights=settings["loss_weights"] or [1.0] * len(settings["loss_type"]), _tp_size=1, _total_train_tokens=0,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=settings["discopop_tau"]),
        _metrics={"train": {key: [] for key in METRICS + ["num_tokens"]}},
        **{key: settings[key] for key in ("beta", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef", "ld_alpha",
                                          "use_weighting")})
    ids = torch.zeros_like(given["mask"])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": given["mask"]}
    loss = DPOTrainer._compute_loss(trainer, model, inputs, False)
    loss.backward()
    return {
        "settings": settings, "loss": loss.item(), "metrics": {key: trainer._metrics["train"][key][0] for key in METRICS},
        "gradient": by_answer(policy.grad)}


METRICS = ["entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected", "rewards/chosen", "rewards/rejected",
           "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"]
LOSSES = ["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
          "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"]
DIVERGED = ["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"]


def dpo_cases() -> list[dict]:
    given = given_scores()
    cases = []
    for loss, beta in itertools.product(LOSSES, (0.1, 0.5)):
        smoothing = {"exo_pair": 1e-3}.get(loss, 0.0)
        cases.append(dpo_case(given, loss_type=[loss], beta=beta, label_smoothing=smoothing))
    cases += [dpo_case(given, loss_type=[loss], label_smoothing=0.2, beta=0.3) for loss in LOSSES]
    for loss, divergence in itertools.product(DIVERGED, ("forward_kl", "js_divergence", "alpha_divergence")):
        smoothing = {"exo_pair": 1e-3, "robust": 0.1}.get(loss, 0.0)
        cases.append(dpo_case(given, loss_type=[loss], f_divergence_type=divergence, label_smoothing=smoothing, beta=0.2))
    cases += [
        dpo_case(given, f_divergence_type="alpha_divergence", f_alpha_divergence_coef=coefficient)
        for coefficient in (1.0, 1.0000005, 0.9, -0.5)]
    for loss in LOSSES:
        smoothing = {"exo_pair": 1e-3}.get(loss, 0.0)
        cases.append(dpo_case(given, loss_type=[loss], ld_alpha=0.3, label_smoothing=smoothing, beta=0.2))
        # TRL refuses the first two and fails in its own arithmetic, in place, on the others.
        if loss not in ("aot", "aot_unpaired", "hinge", "sft"):
            cases.append(dpo_case(given, loss_type=[loss], use_weighting=True, label_smoothing=smoothing, beta=0.2))
    cases += [
        dpo_case(given, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0]),
        dpo_case(given, loss_type=["sigmoid", "sft"]),
        dpo_case(given, loss_type=["aot", "ipo"], loss_weights=[2.0, 0.5], ld_alpha=0.0),
        dpo_case(given, loss_type=["discopop"], discopop_tau=1.0, beta=0.4)]
    return cases


def kto_cases() -> list[dict]:
    given = given_scores()
    labels = torch.tensor([True, False, True, True, False, False, True, True, False, True])
    mismatched = given["policy"] + seeded("preference losses/mismatch", given["policy"].shape, 0.4, 0.1) * given["mask"][:, 1:]
    cases = []
    for loss, kind, (desirable, undesirable), beta in itertools.product(
            ("kto", "apo_zero_unpaired"), ("mixed", "desirable", "undesirable"), ((1.0, 1.0), (0.7, 1.3)), (0.1, 0.5)):
        label = {"mixed": labels, "desirable": torch.ones(10, dtype=torch.bool),
                 "undesirable": torch.zeros(10, dtype=torch.bool)}[kind]
        policy = given["policy"].clone().requires_grad_()
        scores = {"entropy": given["entropy"], "mean_logits": given["mean_logits"]}
        model, reference = Model(policy, scores), Model(given["reference"], scores)
        kl = {id(model): mismatched.sum(-1).detach(), id(reference): given["reference"].sum(-1)}
        trainer = SimpleNamespace(
            model=model, ref_model=reference, accelerator=Accelerator, precompute_ref_logps=False, aux_loss_enabled=False,
            calculate_KL=loss == "kto", loss_type=loss, beta=beta, desirable_weight=desirable,
            undesirable_weight=undesirable, _tp_size=1, _total_train_tokens=0,
            args=SimpleNamespace(gradient_checkpointing_kwargs=None), _compute_kl_logps=lambda model, _: kl[id(model)],
            _metrics={"train": {key: [] for key in KTO_METRICS + ["num_tokens"]}})
        ids = torch.zeros_like(given["mask"])
        inputs = {
            "input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": given["mask"], "label": label}
        loss_value = KTOTrainer._compute_loss(trainer, model, inputs, False)
        loss_value.backward()
        cases.append({
            "settings": {"loss_type": loss, "beta": beta, "desirable_weight": desirable, "undesirable_weight": undesirable},
            "labels": label.int().tolist(), "loss": loss_value.item(),
            "metrics": {key: values[0] for key, values in trainer._metrics["train"].items()
                        if values and key != "num_tokens"},
            "gradient": by_answer(policy.grad)})
    return [{"mismatched": by_answer(mismatched)}] + cases


KTO_METRICS = ["kl", "entropy", "logits/chosen", "logits/rejected", "rewards/chosen", "rewards/rejected", "rewards/margins",
               "logps/chosen", "logps/rejected"]


def answers(given: dict, average: bool):
    """Each answer's log-probability as the trainers take it, with the tokens' as leaf."""
    policy = given["policy"].clone().requires_grad_()
    sums = policy.sum(-1) / given["mask"].sum(-1) if average else policy.sum(-1)
    return policy, sums[:ROWS], sums[ROWS:]


def nll(policy, given: dict):
    return -policy[:ROWS].sum() / given["mask"][:ROWS].sum()


def cpo_cases() -> list[dict]:
    given = given_scores()
    cases = []
    for loss, smoothing, alpha, gamma, cpo_alpha, beta in itertools.product(
            ("sigmoid", "hinge", "ipo", "simpo"), (0.0, 0.2), (0.0, 0.3), (0.5, 1.2), (0.0, 0.7), (0.1, 2.0)):
        if (loss not in ("sigmoid", "simpo") and smoothing) or (loss != "simpo" and gamma != 0.5):
            continue
        policy, chosen, rejected = answers(given, loss in ("ipo", "simpo"))
        trainer = SimpleNamespace(
            loss_type=loss, label_smoothing=smoothing, alpha=alpha, simpo_gamma=gamma, beta=beta, accelerator=Accelerator)
        losses, chosen_rewards, rejected_rewards = CPOTrainer.cpo_loss(trainer, chosen, rejected)
        total = losses.mean() + (cpo_alpha * nll(policy, given) if cpo_alpha else 0)
        total.backward()
        cases.append({
            "settings": {"loss_type": loss, "label_smoothing": smoothing, "alpha": alpha, "simpo_gamma": gamma, "beta": beta,
                         "cpo_alpha": cpo_alpha},
            "loss": total.item(), "metrics": {
                "rewards/chosen": chosen_rewards.mean().item(), "rewards/rejected": rejected_rewards.mean().item(),
                "rewards/accuracies": (chosen_rewards > rejected_rewards).float().mean().item(),
                "rewards/margins": (chosen_rewards - rejected_rewards).mean().item(),
                "logps/chosen": chosen.mean().item(), "logps/rejected": rejected.mean().item()},
            "gradient": by_answer(policy.grad)})
    return cases


def orpo_cases() -> list[dict]:
    given = given_scores()
    cases = []
    for beta in (0.1, 1.0):
        policy, chosen, rejected = answers(given, True)
        losses, chosen_rewards, rejected_rewards, ratio, odds = ORPOTrainer.odds_ratio_loss(
            SimpleNamespace(beta=beta, accelerator=Accelerator), chosen, rejected)
        # Without prompts: the likelihood is of the answers alone.
        total = nll(policy, given) - losses.mean()
        total.backward()
        cases.append({
            "settings": {"beta": beta}, "loss": total.item(), "metrics": {
                "rewards/chosen": chosen_rewards.mean().item(), "rewards/rejected": rejected_rewards.mean().item(),
                "rewards/margins": (chosen_rewards - rejected_rewards).mean().item(),
                "log_odds_ratio": ratio.item(), "log_odds_chosen": odds.item(),
                "logps/chosen": chosen.mean().item(), "logps/rejected": rejected.mean().item()},
            "gradient": by_answer(policy.grad)})
    return cases


def losses() -> dict:
    given = given_scores()
    return {
        "given": {key: by_answer(given[key]) for key in ("policy", "reference", "entropy", "mean_logits", "is_top1",
                                                         "log_sum_sq_probs")},
        "dpo": dpo_cases(), "kto": kto_cases(), "cpo": cpo_cases(), "orpo": orpo_cases()}
