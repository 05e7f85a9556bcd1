/* SPDX-License-Identifier: MIT */
/*
 * The explore port: the soft port's MMU, its TLBs and its shootdowns as they are, on virtual CPUs
 * that a deterministic scheduler runs one at a time (explore.h). Only waiting and the copying of
 * pages are its own.
 */
#ifndef EXPLORE_QUIRE_PORT_H
#define EXPLORE_QUIRE_PORT_H

#define port_clear_page soft_clear_page
#define port_copy_page soft_copy_page
#include "../soft/quire_port.h"
#undef port_clear_page
#undef port_copy_page

/* In steps that other CPUs may come between. */
void port_clear_page(void *page);
void port_copy_page(void *to, const void *from);

#endif
