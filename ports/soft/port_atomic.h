/* SPDX-License-Identifier: MIT */
#if defined(__aarch64__) && !defined(__ARM_FEATURE_ATOMICS)
#define AT_FULL(operation) AT_FENCED(operation)
#endif
#include "sync/atomic_c11.h"
