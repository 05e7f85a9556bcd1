#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test_footprints.sh CONFLICTS FILE
# FILE, which bench/scale_model reads, has the steps that the code does.
set -eu
if ! "$1" --json | cmp - "$2"; then
	echo "test_footprints: scripts/conflicts --json >docs/figures/footprints.json writes it anew" >&2
	exit 1
fi
