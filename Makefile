# SPDX-License-Identifier: MIT
# The front door; Meson and ninja do the work. `make help` lists the targets.
BUILD ?= build
SECONDS ?= 600
# Builds that run their own tests: see scripts/test.
CHECKED := release debug asan ubsan tsan explore

all: $(BUILD)/build.ninja	## build everything into build/ (the command is build/quire)
	@ninja -C $(BUILD)

run: deps all			## boot the reference kernel: programs, benchmarks, Linux's figures beside (scripts/run-demo)
	@scripts/run-demo

replay: deps all		## record real programs, replay what they did on Quire, compare (scripts/replay-demo)
	@scripts/replay-demo

test: deps			## all tests in all builds, and the checks of the sources
	@scripts/test

$(CHECKED): deps		## the tests of one build: release, debug, asan, ubsan, tsan or explore
	@scripts/test $@

mutants: deps			## leave out one check or order at a time; a scenario must fail
	@scripts/mutants $(ARGS)

conflicts: deps			## which operations write a cache line that another one uses
	@scripts/conflicts $(ARGS)

bench: all			## the benchmark loops; what they measure is in docs/benchmarks.md
	@$(BUILD)/quire bench $(ARGS)

figures: deps all		## measure every figure of the documents, and write them there: twenty minutes (scripts/figures)
	@BUILD=$(BUILD) scripts/figures $(ARGS)

microbench: all			## nanoseconds per operation of the parts
	@meson test -C $(BUILD) --benchmark --verbose

soak: deps			## fuzzing and stress for SECONDS=600
	@scripts/soak $(SECONDS)

install: all			## into PREFIX=/usr/local (DESTDIR is honoured)
	@$(if $(PREFIX),meson configure $(BUILD) --prefix=$(PREFIX))
	@meson install -C $(BUILD)

format:				## apply .clang-format
	@scripts/check-format --fix

sizes:				## write docs/sizes.txt anew
	@scripts/sizes >docs/sizes.txt

deps:				## install what is missing (Debian 12 packages)
	@scripts/install-deps

clean:				## remove every build
	@rm -rf build build-*

help:
	@sed -n 's/^\([a-z]*\|$$(CHECKED)\):[^#]*## /\1\t/p' Makefile | sed 's/.(CHECKED)/(build)/' | expand -t 12

$(BUILD)/build.ninja:
	@meson setup $(BUILD)

.PHONY: all run replay test $(CHECKED) mutants conflicts bench figures microbench soak install format sizes deps clean help
