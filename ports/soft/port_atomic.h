/* SPDX-License-Identifier: MIT */
/* Machines on which a compare-and-swap may be a loop. */
#if (defined(__aarch64__) && !defined(__ARM_FEATURE_ATOMICS)) || defined(__riscv)
#define AT_FULL(operation) AT_FENCED(operation)
#endif
#include "sync/atomic_c11.h"
