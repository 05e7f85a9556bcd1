/* SPDX-License-Identifier: MIT */
#include "disk.h"
