/* SPDX-License-Identifier: MIT */
/* Quire, everything but the ports' own headers. */
#ifndef QUIRE_QUIRE_H
#define QUIRE_QUIRE_H

#include <quire/machine.h>
#include <quire/mm.h>
#include <quire/object.h>
#include <quire/stats.h>
#include <quire/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_VERSION "0.1.0"

const char *quire_version(void);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
