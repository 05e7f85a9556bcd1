/* SPDX-License-Identifier: MIT */
/*
 * Record locks. An inode has a list of ranges [start, end); those of one owner never overlap:
 *
 *     have      |──── read ────|                 set write on the middle
 *     becomes   |─ read ─|─ write ─|─ read ─|    at most two more than before
 *
 * Owners: fcntl's are a table of descriptors (a process), or an open file (OFD); flock's are an
 * open file, the range is all, and they don't meet the others. One mutex guards all lists; who must
 * wait does so in one queue, and looks again whenever a lock goes anywhere. Deadlocks are not
 * looked for.
 */
#include "fs/locks.h"
#include "fs/special.h"

#include "memory/heap.h"
#include "memory/user.h"
#include "task/task.h"

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8

struct record {
	struct list node;
	const void *owner;
	uint64_t start, end;
	int type, pid; /* F_RDLCK or F_WRLCK */
	bool whole;    /* flock's */
};

struct user_flock {
	int16_t type, whence;
	int64_t start, length;
	int32_t pid, pad;
};

_Static_assert(sizeof(struct user_flock) == 32, "struct flock");

static struct mutex mutex = MUTEX_INIT(mutex);
static struct wait_queue released = WAIT_QUEUE_INIT(released);
static _Atomic uint32_t releases; /* relaxed: sleep_begin's barrier orders a sleeper's look */

static void announce(void)
{
	atomic_fetch_add_explicit(&releases, 1, memory_order_relaxed);
	wait_wake(&released);
}

static struct record *find_conflict(struct inode *inode, const struct record *wanted)
{
	list_for_each(at, &inode->locks, struct record, node)
		if (at->owner != wanted->owner && at->whole == wanted->whole &&
		    at->start < wanted->end && wanted->start < at->end &&
		    (at->type == F_WRLCK || wanted->type == F_WRLCK))
			return at;
	return NULL;
}

/* The owner's records leave the range free; `spare` is used if one is split: true. */
static bool cut(struct inode *inode, const struct record *range, struct record *spare)
{
	bool used = false;

	list_for_each_safe(at, &inode->locks, struct record, node) {
		if (at->owner != range->owner || at->whole != range->whole ||
		    at->start >= range->end || range->start >= at->end)
			continue;
		if (at->start < range->start && at->end > range->end) {
			*spare = *at;
			spare->start = range->end;
			at->end = range->start;
			list_add(&inode->locks, &spare->node);
			used = true;
		} else if (at->start < range->start) {
			at->end = range->start;
		} else if (at->end > range->end) {
			at->start = range->end;
		} else {
			list_remove(&at->node);
			heap_free(at);
		}
	}
	return used;
}

/* Sets, or with F_UNLCK takes away. 0, -EAGAIN: somebody else's is in the way, -ENOMEM. */
static int set(struct inode *inode, const struct record *wanted)
{
	struct record *fresh = heap_copy(wanted, sizeof(*wanted));
	struct record *spare = heap_alloc(sizeof(*spare));
	int error = 0;

	if (!fresh || !spare) {
		error = -ENOMEM;
	} else {
		mutex_take(&mutex);
		if (wanted->type != F_UNLCK && find_conflict(inode, wanted)) {
			error = -EAGAIN;
		} else {
			if (cut(inode, wanted, spare))
				spare = NULL;
			if (wanted->type != F_UNLCK) {
				list_add(&inode->locks, &fresh->node);
				fresh = NULL;
			}
		}
		mutex_drop(&mutex);
		if (!error)
			announce(); /* a write lock may have become one to read */
	}
	heap_free(fresh);
	heap_free(spare);
	return error;
}

static int64_t set_waiting(struct inode *inode, const struct record *wanted)
{
	for (;;) {
		uint32_t seen = atomic_load_explicit(&releases, memory_order_relaxed);
		int error = set(inode, wanted);

		if (error != -EAGAIN)
			return error;
		error = wait_until(&released, SLEEP_INTERRUPTIBLY, NEVER,
				   atomic_load_explicit(&releases, memory_order_relaxed) != seen);
		if (error)
			return -ERESTART;
	}
}

/* What a struct flock means as a range. */
static int range_of(struct file *file, const struct user_flock *from, struct record *range)
{
	int64_t start = from->start, base = 0, end;

	if (from->whence < SEEK_SET || from->whence > SEEK_END)
		return -EINVAL;
	if (from->whence == SEEK_CUR)
		base = (int64_t)file->position;
	if (from->whence == SEEK_END && file->inode->object)
		base = (int64_t)quire_object_size(file->inode->object);
	if (__builtin_add_overflow(start, base, &start) ||
	    __builtin_add_overflow(start, from->length, &end))
		return -EOVERFLOW;
	if (from->length == 0)
		end = INT64_MAX;
	range->start = (uint64_t)MIN(start, end);
	range->end = (uint64_t)MAX(start, end);
	return start < 0 || end < 0 ? -EINVAL : 0;
}

static int64_t get(struct inode *inode, const struct record *wanted, uint64_t address)
{
	struct user_flock answer = { .type = F_UNLCK };
	struct record *found;

	mutex_take(&mutex);
	found = find_conflict(inode, wanted);
	if (found) {
		answer.type = (int16_t)found->type;
		answer.start = (int64_t)found->start;
		if (found->end != INT64_MAX)
			answer.length = (int64_t)(found->end - found->start);
		answer.pid = found->pid;
	}
	mutex_drop(&mutex);
	if (!found)
		return user_write(address, &answer.type, sizeof(answer.type));
	return user_write(address, &answer, sizeof(answer));
}

int64_t lock_control(struct file *file, int command, enum lock_owner whose, uint64_t address)
{
	struct user_flock from;
	struct record range = { .owner = file, .pid = -1 };
	int error;

	if (user_read(&from, address, sizeof(from)))
		return -EFAULT;
	if (whose == LOCK_OF_PROCESS) {
		range.owner = current_process()->files;
		range.pid = current_process()->pid;
	} else if (from.pid != 0) {
		return -EINVAL;
	}
	range.type = from.type;
	if (from.type != F_RDLCK && from.type != F_WRLCK && from.type != F_UNLCK)
		return -EINVAL;
	error = range_of(file, &from, &range);
	if (error)
		return error;
	if (command == F_GETLK)
		return from.type == F_UNLCK ? -EINVAL : get(file->inode, &range, address);
	if ((from.type == F_RDLCK && !file_can_read(file)) ||
	    (from.type == F_WRLCK && !file_can_write(file)))
		return -EBADF;
	return command == F_SETLKW ? set_waiting(file->inode, &range) : set(file->inode, &range);
}

int64_t lock_flock(struct file *file, int operation)
{
	struct record range = { .owner = file, .end = INT64_MAX, .whole = true };

	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		range.type = F_RDLCK;
		break;
	case LOCK_EX:
		range.type = F_WRLCK;
		break;
	case LOCK_UN:
		range.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	return operation & LOCK_NB ? set(file->inode, &range) : set_waiting(file->inode, &range);
}

void locks_release(struct inode *inode, const void *owner)
{
	bool any = false;

	if (list_empty(&inode->locks)) /* what the owner itself has set it sees */
		return;
	mutex_take(&mutex);
	list_for_each_safe(at, &inode->locks, struct record, node) {
		if (at->owner != owner)
			continue;
		list_remove(&at->node);
		heap_free(at);
		any = true;
	}
	mutex_drop(&mutex);
	if (any)
		announce();
}
