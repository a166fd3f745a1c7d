# make demo   from nothing to a report, on virtual nodes
# make test   lint and every test
# Each sets up all that it needs.

.DEFAULT_GOAL := help
.PHONY: help setup setup-finetune link demo lint lint-python lint-ansible docs role-docs test test-unit test-finetune test-apart test-nodes test-engines test-petals test-gpu test-releases bench simulate clean

PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT_INSTALL := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Ansible passes over it where everybody may write to this folder, as below /mnt/c of WSL.
export ANSIBLE_CONFIG ?= $(CURDIR)/ansible.cfg

help:
	@sed -n 's/^# //p' Makefile | head -3

.venv/bin/python:
	@echo "Python environment in .venv …"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
		|| { echo "llama-herd needs Python 3.11 to 3.14, and this is $$($(PYTHON) --version 2>&1): make PYTHON=/path/to/another"; exit 1; }
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 \
		|| { $(SUDO) apt-get update -qq && $(APT_INSTALL) python3-venv >/dev/null && $(PYTHON) -m venv --clear .venv; }

.venv/base.stamp: .venv/bin/python requirements/base.txt
	@echo "Python packages …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

.venv/test.stamp: .venv/base.stamp requirements/test.txt
	@echo "Python packages for the tests …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

# PyTorch is torch.txt's, for CPUs, from the package index or else from its makers'. TORCH=ADDRESS takes it
# from another index, such as https://download.pytorch.org/whl/cu130 for NVIDIA's GPUs.
TORCH_FOR_CPUS := https://download.pytorch.org/whl/cpu
.venv/finetune.stamp: .venv/base.stamp requirements/finetune.txt requirements/torch.txt
	@echo "Python packages for fine-tuning …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/finetune.txt
ifdef TORCH
	@$(BIN)/pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' requirements/torch.txt)" --index-url $(TORCH)
else
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.txt \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --extra-index-url $(TORCH_FOR_CPUS) -r requirements/torch.txt
	@$(BIN)/python -c 'import torch' 2>/dev/null \
		|| { echo "PyTorch's build for $$($(BIN)/python -V) on $$(uname -m) is not pinned here: make setup-finetune TORCH=$(TORCH_FOR_CPUS)"; exit 1; }
endif
	@touch $@

setup-finetune: setup .venv/finetune.stamp

# `fab` as a program of this project: Fabric's own would print Fabric's version.
.venv/fab.stamp: .venv/base.stamp Makefile
	@printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$(CURDIR)/$(BIN)/python" "$(CURDIR)/fabfile.py" >$(BIN)/fab
	@touch $@

setup: .venv/fab.stamp

# `fab` and `ansible-playbook` as plain commands, unless the machine has some of its own.
link: setup
	@if [ "$$(id -u)" = 0 ]; then folder=/usr/local/bin; else folder="$$HOME/.local/bin"; mkdir -p "$$folder"; fi; \
	for name in fab ansible-playbook; do \
		if [ -L "$$folder/$$name" ] || ! PATH="$${PATH#*:}" command -v $$name >/dev/null; then \
			ln -sfn "$(CURDIR)/$(BIN)/$$name" "$$folder/$$name"; \
		fi; \
	done

# PROVISION="-e distributed_llama_repo=/srv/mirrors/distributed-llama.git" gives another source.
demo: link
	@fab lab-up --nodes 8
	@ansible-playbook provision.yml $(PROVISION)
	@fab run-matrix --nodes 1,2,4 --repeats 6

# The oldest Python that mypy can take code for; nodes may have 3.9, which ruff holds them to.
NODE_PYTHON := 3.10
# What runs on nodes, with whatever Python those have.
NODE_PROGRAMS := roles/node_base/files roles/engine_base/files/engine_store.py \
	roles/model_store/files/model_store.py roles/wsl_host/files/prepare_guest.py experiments/doctor/probe

lint: lint-python lint-ansible

lint-python: .venv/test.stamp
	ruff check .
	ruff format --check .
	mypy
	mypy --python-version $(NODE_PYTHON) $(NODE_PROGRAMS)
	find .ci/run experiments roles tests \( -name '*.sh' -o -path .ci/run \) -exec shellcheck {} +
	lint-imports

lint-ansible: .venv/test.stamp
	ansible-lint --offline --profile production

# The pages of docs/ as a site; a link or an anchor that leads nowhere is an error.
docs: .venv/test.stamp
	mkdocs build --strict

# Two at a time, because tests on virtual nodes mostly wait. The output of each comes when it ends.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs=2 --output-sync=target

test: .venv/test.stamp
	@sh tests/prepare.sh
	@$(MAKE) --no-print-directory .venv/finetune.stamp || echo "PyTorch cannot be installed: fine-tuning will not be tested."
	@$(SIDE_BY_SIDE) lint-ansible lint-python docs
	@$(SIDE_BY_SIDE) test-nodes test-unit test-apart test-finetune
	@[ -e .venv/finetune.stamp ] || echo "Not tested: fine-tuning, because PyTorch could not be installed. See make setup-finetune."

test-unit: .venv/test.stamp
	pytest tests/unit

# Nodes that are emulated, or have a GPU in software, have labs of their own and compute for minutes.
APART := tests/lab/test_arm64.py tests/lab/test_gpu_runs.py tests/lab/test_gpu_refusals.py

test-apart: .venv/test.stamp
	pytest $(APART)

test-nodes: .venv/test.stamp
	pytest tests --ignore=tests/unit --ignore=tests/finetune $(addprefix --ignore=,$(APART))

# Fine-tuning for real, killed and proven; nothing where PyTorch is not installed.
test-finetune: .venv/test.stamp
	@[ ! -e .venv/finetune.stamp ] || pytest tests/finetune

# README.md of each role, from its meta/argument_specs.yml.
role-docs: .venv/base.stamp
	@$(BIN)/python roles/readmes.py

# distributed-llama's failures, in the real one, built from DISTRIBUTED_LLAMA_SOURCE.
test-engines: .venv/test.stamp
	pytest tests/engines -rs

# Petals on virtual nodes: what it says (also on emulated arm64), a server that dies, sixty texts in one process.
test-petals: .venv/test.stamp
	PETALS_PACKAGES=fetch pytest tests/petals -rs

# llama.cpp for CUDA, compiled here for one kind of GPU: an hour and more. None is needed, and none computes.
test-gpu: .venv/test.stamp
	CUDA_PACKAGES=fetch pytest tests/gpu -rs

# The tests of the lab on nodes with Debian 13, and with Debian 12 and 13 in one cluster: an hour.
test-releases: .venv/test.stamp
	@sh tests/prepare.sh
	LAB_RELEASE=trixie pytest tests/lab
	LAB_RELEASE=bookworm,trixie pytest tests/lab

# How often reports of known truth speak of a difference that is not there: half an hour, or RUNS=100.
simulate: setup
	@$(BIN)/python -m tests.benchmarks.false_findings $(if $(RUNS),--runs $(RUNS))
	@$(BIN)/python -m tests.benchmarks.aa $(if $(RUNS),--runs $(RUNS))
	@$(BIN)/python -m tests.benchmarks.tuning_findings $(RUNS)
	@$(BIN)/python -m tests.benchmarks.law_coverage $(RUNS)
	@$(BIN)/python -m tests.benchmarks.tune_findings $(if $(RUNS),--runs $(RUNS))
	@$(BIN)/python -m tests.benchmarks.two_runs_findings $(if $(RUNS),--runs $(RUNS))
	@$(BIN)/python -m tests.benchmarks.two_runs_quality $(if $(RUNS),--runs $(RUNS))

# ONLY=NAME measures one row; `python -m tests.benchmarks --list` names them.
bench: setup
	@$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

clean:
	rm -rf .venv .herd site .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible
