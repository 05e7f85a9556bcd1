/* SPDX-License-Identifier: MIT */
/*
 * poll(2) and select(2). All files are entered in their queues first; then, asleep already, they
 * are asked one by one: what becomes ready behind the look wakes.
 */
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/task.h"

#define POLLRDBAND 0x80u
#define POLLWRBAND 0x200u
#define SELECT_READ (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_WRITE (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EXCEPT POLLPRI

struct item {
	struct file *file; /* counted; NULL: not there */
	unsigned wanted, ready;
	bool waits;
	struct waiter waiter;
};

struct user_pollfd {
	int32_t descriptor;
	uint16_t events, revents;
};

unsigned file_ready(struct file *file)
{
	return file->ops->poll ? file->ops->poll(file) : POLLIN_NORMAL | POLLOUT_NORMAL;
}

static unsigned look(struct item *items, unsigned count)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++) {
		if (items[i].file)
			items[i].ready = file_ready(items[i].file) & items[i].wanted;
		found += items[i].ready != 0;
	}
	return found;
}

static int64_t sleep_until_ready(struct item *items, unsigned count, uint64_t deadline)
{
	int result = 0;

	for (;;) {
		unsigned found;

		sleep_begin(SLEEP_INTERRUPTIBLY);
		found = look(items, count);
		if (found || result) {
			sleep_cancel();
			return found || result == -ETIMEDOUT ? (int64_t)found : -ERESTART_NOHAND;
		}
		result = task_sleep(deadline);
	}
}

/* How many are ready, 0: the time is over; -ERESTART_NOHAND. Fills `ready`. */
static int64_t wait_for(struct item *items, unsigned count, uint64_t deadline)
{
	int64_t found = look(items, count);

	if (found || deadline == 0)
		return found;
	for (unsigned i = 0; i < count; i++) {
		struct file *file = items[i].file;

		items[i].waits = file && file->ops->queue;
		if (items[i].waits)
			waiter_add(file->ops->queue(file), &items[i].waiter);
	}
	found = sleep_until_ready(items, count, deadline);
	for (unsigned i = 0; i < count; i++)
		if (items[i].waits)
			waiter_remove(&items[i].waiter);
	return found;
}

static void put_items(struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		file_put(items[i].file);
	heap_free(items);
}

int mask_for_call(uint64_t address, uint64_t size)
{
	sigset mask;

	if (!address)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_read(&mask, address, sizeof(mask)))
		return -EFAULT;
	signal_block_during_call(mask);
	return 0;
}

/* 0 stands for "don't wait", so the present is a nanosecond later. */
static uint64_t deadline_in(uint64_t nanoseconds)
{
	uint64_t deadline;

	if (nanoseconds == 0)
		return 0;
	return __builtin_add_overflow(time_now(), nanoseconds, &deadline) ? NEVER : deadline;
}

uint64_t deadline_after(int64_t milliseconds)
{
	return milliseconds < 0 ? NEVER : deadline_in((uint64_t)milliseconds * 1000000);
}

/* Two numbers, the second in units of so many nanoseconds. */
static int read_deadline(uint64_t address, uint64_t unit, uint64_t *deadline)
{
	int64_t time[2];
	uint64_t nanoseconds;

	*deadline = NEVER;
	if (!address)
		return 0;
	if (user_read(time, address, sizeof(time)))
		return -EFAULT;
	if (time[0] < 0 || time[1] < 0 || (uint64_t)time[1] >= SECOND / unit)
		return -EINVAL;
	if (!__builtin_mul_overflow((uint64_t)time[0], SECOND, &nanoseconds) &&
	    !__builtin_add_overflow(nanoseconds, (uint64_t)time[1] * unit, &nanoseconds))
		*deadline = deadline_in(nanoseconds);
	return 0;
}

int deadline_from_user(uint64_t address, uint64_t *deadline)
{
	return read_deadline(address, 1, deadline);
}

/* What is left of the time is told where it was given; if that can't be written, it is not. */
static void write_left(uint64_t address, uint64_t unit, uint64_t deadline)
{
	uint64_t now = time_now(), left = deadline > now ? deadline - now : 0;
	uint64_t time[2] = { left / SECOND, left % SECOND / unit };

	if (address && deadline != NEVER)
		(void)user_write(address, time, sizeof(time));
}

static int64_t poll_table(struct user_pollfd *table, unsigned count, uint64_t deadline)
{
	struct item *items = heap_zero((count ? count : 1) * sizeof(*items));
	int64_t result;

	if (!items)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		if (table[i].descriptor < 0)
			continue;
		items[i].file = file_get(table[i].descriptor);
		items[i].wanted = table[i].events | POLLERR | POLLHUP;
		if (!items[i].file)
			items[i].ready = POLLNVAL;
	}
	result = wait_for(items, count, deadline);
	for (unsigned i = 0; i < count; i++)
		table[i].revents = (uint16_t)items[i].ready;
	put_items(items, count);
	return result;
}

static int64_t poll_user(uint64_t address, uint64_t count, uint64_t deadline)
{
	size_t size = count * sizeof(struct user_pollfd);
	struct user_pollfd *table;
	int64_t result = -EFAULT;

	if (count > OPEN_MAX)
		return -EINVAL;
	table = heap_alloc(size ? size : 1);
	if (!table)
		return -ENOMEM;
	if (user_read(table, address, size) == 0) {
		result = poll_table(table, (unsigned)count, deadline);
		if (result >= 0 && user_write(address, table, size))
			result = -EFAULT;
	}
	heap_free(table);
	return result;
}

int64_t call_poll(struct registers *regs)
{
	return poll_user(ARG(regs, 0), (uint32_t)ARG(regs, 1),
			 deadline_after((int32_t)ARG(regs, 2)));
}

int64_t call_ppoll(struct registers *regs)
{
	uint64_t deadline;
	int64_t result = read_deadline(ARG(regs, 2), 1, &deadline);

	if (!result)
		result = mask_for_call(ARG(regs, 3), ARG(regs, 4));
	if (result)
		return result;
	result = poll_user(ARG(regs, 0), (uint32_t)ARG(regs, 1), deadline);
	write_left(ARG(regs, 2), 1, deadline);
	return result;
}

/* The three sets of select, one behind the other, of `bytes` each; absent ones are zero. */
static const unsigned select_masks[3] = { SELECT_READ, SELECT_WRITE, SELECT_EXCEPT };

static bool in_set(const uint8_t *set, unsigned i)
{
	return set[i / 8] & 1 << i % 8;
}

static unsigned wanted_of(const uint8_t *sets, size_t bytes, unsigned i)
{
	unsigned wanted = 0;

	for (int kind = 0; kind < 3; kind++)
		if (in_set(sets + (size_t)kind * bytes, i))
			wanted |= select_masks[kind];
	return wanted;
}

/* The bits that hold; how many. */
static int64_t keep_ready(uint8_t *sets, size_t bytes, const struct item *items, unsigned count)
{
	int64_t found = 0;

	for (int kind = 0; kind < 3; kind++)
		for (unsigned i = 0; i < count; i++) {
			uint8_t *byte = &sets[(size_t)kind * bytes + i / 8];
			uint8_t bit = (uint8_t)(1 << i % 8);

			if (!(*byte & bit))
				continue;
			if (items[i].ready & select_masks[kind])
				found++;
			else
				*byte &= (uint8_t)~bit;
		}
	return found;
}

static int64_t select_sets(uint8_t *sets, size_t bytes, unsigned count, uint64_t deadline)
{
	struct item *items = heap_zero((count ? count : 1) * sizeof(*items));
	int64_t result = 0;

	if (!items)
		return -ENOMEM;
	for (unsigned i = 0; i < count && !result; i++) {
		items[i].wanted = wanted_of(sets, bytes, i);
		if (!items[i].wanted)
			continue;
		items[i].file = file_get((int)i);
		if (!items[i].file)
			result = -EBADF;
	}
	if (!result)
		result = wait_for(items, count, deadline);
	if (result >= 0)
		result = keep_ready(sets, bytes, items, count);
	put_items(items, count);
	return result;
}

static int64_t select_user(struct registers *regs, uint64_t deadline)
{
	int64_t count = (int)ARG(regs, 0), result = 0;
	size_t bytes = ((size_t)count + 63) / 64 * 8;
	uint8_t *sets;

	if (count < 0 || count > OPEN_MAX)
		return -EINVAL;
	sets = heap_zero(3 * bytes + 1);
	if (!sets)
		return -ENOMEM;
	for (unsigned kind = 0; kind < 3 && !result; kind++)
		if (ARG(regs, kind + 1))
			result = user_read(sets + kind * bytes, ARG(regs, kind + 1), bytes);
	if (!result)
		result = select_sets(sets, bytes, (unsigned)count, deadline);
	for (unsigned kind = 0; kind < 3 && result >= 0; kind++)
		if (ARG(regs, kind + 1) &&
		    user_write(ARG(regs, kind + 1), sets + kind * bytes, bytes))
			result = -EFAULT;
	heap_free(sets);
	return result;
}

int64_t call_select(struct registers *regs)
{
	uint64_t deadline;
	int64_t result = read_deadline(ARG(regs, 4), 1000, &deadline);

	if (result)
		return result;
	result = select_user(regs, deadline);
	write_left(ARG(regs, 4), 1000, deadline);
	return result;
}

int64_t call_pselect6(struct registers *regs)
{
	uint64_t deadline, mask[2] = { 0 };
	int64_t result = read_deadline(ARG(regs, 4), 1, &deadline);

	if (!result && ARG(regs, 5))
		result = user_read(mask, ARG(regs, 5), sizeof(mask));
	if (!result)
		result = mask_for_call(mask[0], mask[1]);
	if (result)
		return result;
	result = select_user(regs, deadline);
	write_left(ARG(regs, 4), 1, deadline);
	return result;
}
