/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_FUTEX_H
#define KERNEL_FUTEX_H

void futex_init(void); /* once */

#endif
