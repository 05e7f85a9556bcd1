/* SPDX-License-Identifier: MIT */
/*
 * A sleeping reader-writer lock, four bytes: the address-space lock of the `classic` and `vma-lock`
 * baselines. A speculative space never touches its own.
 *
 * Uncontended read lock and unlock: one atomic read-modify-write each, on the lock's line. A
 * waiting writer stops new readers (rwsem_try_read fails, rwsem_read sleeps), so writers don't
 * starve.
 */
#ifndef QUIRE_SYNC_RWSEM_H
#define QUIRE_SYNC_RWSEM_H

#include "sync/atomic.h"
#include "port.h"

struct rwsem {
	_Atomic uint32_t state; /* readers, RWSEM_WRITER, RWSEM_WAITING; waiters sleep on it */
};

void rwsem_init(struct rwsem *);
/* => outside any section, no spin lock held; sleep (offline). Return true if they had to wait. */
bool rwsem_read(struct rwsem *);
bool rwsem_write(struct rwsem *);
/* => never sleeps; may be called in a section. */
bool rwsem_try_read(struct rwsem *);
/*
 * => never sleep; wake whom they let in. The last access to the lock is the one that lets others in
 *    (the wake uses its address only): an owner may free the lock as soon as it has it to itself.
 */
void rwsem_read_done(struct rwsem *);
void rwsem_write_done(struct rwsem *);
/* Writer becomes reader without letting another writer in between. */
void rwsem_downgrade(struct rwsem *);

#endif
