/* SPDX-License-Identifier: MIT */
#include "sync/atomic_c11.h"
