/* SPDX-License-Identifier: MIT */
/*
 * futex(2): sleeping until somebody says that a word of user memory has changed.
 *
 *     wait                                  wake
 *       passes = bucket's count             (the program has changed the word)
 *       load the word: EAGAIN if changed    lock the bucket
 *       lock the bucket                     count the pass
 *       count != passes: from the start     take waiters out, wake them
 *       queue; unlock; sleep                unlock
 *
 * The load may fault and sleep, so it can't be done under the bucket's lock, which would make it
 * one step with queueing. The count does: if no wake and no requeue came through the bucket in
 * between, it is as if the waiter had queued at the moment of its load. If the word changes after
 * the load, the waker comes after the queueing and finds the waiter; if it changed and the waker
 * came in between, the count tells. Weighed and left: queueing before the load. A wake that was
 * meant for another could then go to a waiter that is about to find its word changed.
 *
 * FUTEX_CMP_REQUEUE is made one step in the same way, by a count of the waiters that were queued.
 *
 * Words are named by space and address if the program says that they are private; else those in
 * shared mappings by object and offset. Priority inheritance: ENOSYS.
 */
#include "task/futex.h"

#include "calls/calls.h"
#include "memory/user.h"
#include "task/clock.h"
#include "task/task.h"

#include <quire/mm.h>

enum {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_PRIVATE = 128,
	FUTEX_REALTIME = 256,
};
#define ANY UINT32_MAX
#define BUCKETS 512

struct key {
	const void *owner; /* a space, or an object; compared only */
	uint64_t offset;
};

struct bucket {
	struct lock lock; /* irq */
	struct list waiters;
	uint64_t passes, queued;
} __attribute__((aligned(64)));

struct futex_waiter {
	struct list node;
	struct task *task;
	struct key key; /* with `bucket`: changed by who has it locked */
	struct bucket *_Atomic bucket;
	uint32_t bits;
	_Atomic bool woken; /* and out of the list */
};

static struct bucket buckets[BUCKETS];

void futex_init(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&buckets[i].waiters);
}

static int key_of(uint64_t address, bool private, struct key *key)
{
	struct quire_mm *mm = current_task()->mm;
	struct quire_vma_info info;

	if (address & 3)
		return -EINVAL;
	if (address >= USER_END)
		return -EFAULT;
	*key = (struct key){ mm, address };
	if (private)
		return 0;
	if (quire_vma_find(mm, address, &info) || info.start > address)
		return -EFAULT;
	/* In a program's own memory the two ways of naming a word don't meet. */
	key->offset |= 1;
	if (info.shared && info.object)
		*key = (struct key){ info.object, info.offset + (address - info.start) };
	return 0;
}

static struct bucket *bucket_of(const struct key *key)
{
	uint64_t hash = ((uint64_t)key->owner >> 6) * 31 + (key->offset >> 2);

	return &buckets[hash * 0x9e3779b97f4a7c15ull >> 55];
}
_Static_assert(BUCKETS == 1 << (64 - 55), "the hash");

static bool is_same(const struct key *a, const struct key *b)
{
	return a->owner == b->owner && a->offset == b->offset;
}

static uint64_t passes_of(struct bucket *bucket)
{
	uint64_t flags = lock_take_irq(&bucket->lock), passes = bucket->passes;

	lock_drop_irq(&bucket->lock, flags);
	return passes;
}

/* 0: queued. -EAGAIN: the word is another; or -EFAULT. Then nothing is queued. */
static int enqueue(struct futex_waiter *waiter, uint64_t address, uint32_t expected)
{
	struct bucket *bucket = bucket_of(&waiter->key);
	bool queued = false;

	atomic_init(&waiter->bucket, bucket);
	while (!queued) {
		uint64_t passes = passes_of(bucket), flags;
		uint32_t word;

		if (user_load32(address, &word))
			return -EFAULT;
		if (word != expected)
			return -EAGAIN;
		flags = lock_take_irq(&bucket->lock);
		if (bucket->passes == passes) {
			list_add(&bucket->waiters, &waiter->node);
			bucket->queued++;
			queued = true;
		}
		lock_drop_irq(&bucket->lock, flags);
	}
	return 0;
}

/*
 * Out of the queue. Returns whether somebody had taken it out and counted it as woken; who did has
 * finished with it then.
 */
static bool dequeue(struct futex_waiter *waiter)
{
	for (;;) {
		struct bucket *bucket = atomic_load(&waiter->bucket);
		uint64_t flags = lock_take_irq(&bucket->lock);
		bool mine = atomic_load(&waiter->bucket) == bucket;
		bool woken = atomic_load_explicit(&waiter->woken, memory_order_relaxed);

		if (mine && !woken)
			list_remove(&waiter->node);
		lock_drop_irq(&bucket->lock, flags);
		if (mine)
			return woken;
	}
}

/* => its bucket locked */
static void wake_one(struct futex_waiter *waiter)
{
	list_remove(&waiter->node);
	/* Release: pairs with the acquire in wait_for. */
	atomic_store_explicit(&waiter->woken, true, memory_order_release);
	task_wake(waiter->task);
}

static int64_t wake(const struct key *key, int64_t count, uint32_t bits)
{
	struct bucket *bucket = bucket_of(key);
	uint64_t flags = lock_take_irq(&bucket->lock);
	int64_t woken = 0;

	bucket->passes++;
	list_for_each_safe(waiter, &bucket->waiters, struct futex_waiter, node) {
		if (woken >= count)
			break;
		if (!is_same(&waiter->key, key) || !(waiter->bits & bits))
			continue;
		wake_one(waiter);
		woken++;
	}
	lock_drop_irq(&bucket->lock, flags);
	return woken;
}

static int64_t wait_for(uint64_t address, bool private, uint32_t expected, uint32_t bits,
			uint64_t deadline)
{
	struct futex_waiter waiter = { .task = current_task(), .bits = bits };
	int result = key_of(address, private, &waiter.key);

	if (result)
		return result;
	result = enqueue(&waiter, address, expected);
	if (result)
		return result;
	while (result == 0) {
		sleep_begin(SLEEP_INTERRUPTIBLY);
		/* Acquire: pairs with the release in wake_one. */
		if (atomic_load_explicit(&waiter.woken, memory_order_acquire)) {
			sleep_cancel();
			break;
		}
		result = task_sleep(deadline);
	}
	if (dequeue(&waiter))
		return 0;
	if (result == -EINTR)
		return deadline == NEVER ? -ERESTART : -ERESTART_NOHAND;
	return result;
}

static void lock_both(struct bucket *a, struct bucket *b)
{
	lock_take(a < b ? &a->lock : &b->lock);
	if (a != b)
		lock_take(a < b ? &b->lock : &a->lock);
}

static void drop_both(struct bucket *a, struct bucket *b)
{
	lock_drop(&a->lock);
	if (a != b)
		lock_drop(&b->lock);
}

/* Wakes, then moves. => both buckets locked. Returns how many were woken and moved. */
static int64_t move(const struct key *from, const struct key *to, int64_t wakes, int64_t moves)
{
	struct bucket *old = bucket_of(from), *new = bucket_of(to);
	struct list moved = LIST_INIT(moved);
	int64_t done = 0;

	old->passes++;
	new->passes++;
	list_for_each_safe(waiter, &old->waiters, struct futex_waiter, node) {
		if (done >= wakes + moves)
			break;
		if (!is_same(&waiter->key, from))
			continue;
		if (done++ < wakes) {
			wake_one(waiter);
			continue;
		}
		list_remove(&waiter->node);
		list_add(&moved, &waiter->node);
		waiter->key = *to;
		atomic_store(&waiter->bucket, new);
	}
	list_for_each_safe(waiter, &moved, struct futex_waiter, node) {
		list_remove(&waiter->node);
		list_add(&new->waiters, &waiter->node);
	}
	new->queued++;
	return done;
}

struct requeue {
	uint64_t from, to;
	int32_t wakes, moves;
	bool private, compares;
	uint32_t expected;
};

static int64_t requeue(const struct requeue *request)
{
	struct key from, to;
	struct bucket *old, *new;
	int64_t done = -1;
	int error = key_of(request->from, request->private, &from);

	if (!error)
		error = key_of(request->to, request->private, &to);
	if (error)
		return error;
	if (request->wakes < 0 || request->moves < 0)
		return -EINVAL;
	old = bucket_of(&from);
	new = bucket_of(&to);
	while (done < 0) {
		uint64_t flags = lock_take_irq(&old->lock), queued = old->queued;
		uint32_t word;

		lock_drop_irq(&old->lock, flags);
		if (request->compares) {
			if (user_load32(request->from, &word))
				return -EFAULT;
			if (word != request->expected)
				return -EAGAIN;
		}
		flags = irq_save();
		lock_both(old, new);
		if (!request->compares || old->queued == queued)
			done = move(&from, &to, request->wakes, request->moves);
		drop_both(old, new);
		irq_restore(flags);
	}
	return done;
}

/* The coded operation of FUTEX_WAKE_OP: 1 if its comparison holds, 0 if not, or an error. */
static int operate(uint64_t address, uint32_t coded)
{
	uint32_t operation = coded >> 28 & 7, comparison = coded >> 24 & 15, old, new, seen;
	int32_t operand = (int32_t)(coded << 8) >> 20, against = (int32_t)(coded << 20) >> 20;
	uint32_t value = (uint32_t)operand;

	if (coded >> 31)
		value = 1u << (value & 31);
	if (operation > 4 || comparison > 5)
		return -ENOSYS;
	if (user_load32(address, &seen))
		return -EFAULT;
	do {
		old = seen;
		new = operation == 0   ? value
		      : operation == 1 ? old + value
		      : operation == 2 ? old | value
		      : operation == 3 ? old & ~value
				       : old ^ value;
		if (user_cas32(address, old, new, &seen))
			return -EFAULT;
	} while (seen != old);
	switch (comparison) {
	case 0:
		return (int32_t)old == against;
	case 1:
		return (int32_t)old != against;
	case 2:
		return (int32_t)old < against;
	case 3:
		return (int32_t)old <= against;
	case 4:
		return (int32_t)old > against;
	default:
		return (int32_t)old >= against;
	}
}

static int64_t wake_two(struct registers *regs, bool private)
{
	struct key first, second;
	int64_t woken;
	int error = key_of(ARG(regs, 0), private, &first), also;

	if (!error)
		error = key_of(ARG(regs, 4), private, &second);
	if (error)
		return error;
	also = operate(ARG(regs, 4), (uint32_t)ARG(regs, 5));
	if (also < 0)
		return also;
	woken = wake(&first, MAX((int32_t)ARG(regs, 2), 1), ANY);
	if (also)
		woken += wake(&second, MAX((int32_t)ARG(regs, 3), 1), ANY);
	return woken;
}

static int64_t wake_bits(uint64_t address, int32_t count, bool private, uint32_t bits)
{
	struct key key;
	int error = key_of(address, private, &key);

	/* Even a count of 0 wakes one, as everywhere. */
	return error ? error : wake(&key, MAX(count, 1), bits);
}

int64_t futex_wake(uint64_t address, unsigned count, bool private)
{
	return wake_bits(address, (int32_t)count, private, ANY);
}

static int64_t call_wait(struct registers *regs, bool bitset, bool realtime, bool private)
{
	uint32_t bits = bitset ? (uint32_t)ARG(regs, 5) : ANY;
	uint64_t deadline = NEVER;
	int error;

	if (ARG(regs, 3)) {
		error = bitset ? clock_read_deadline(ARG(regs, 3), realtime, &deadline)
			       : clock_read_timeout(ARG(regs, 3), &deadline);
		if (error)
			return error;
	}
	if (!bits)
		return -EINVAL;
	return wait_for(ARG(regs, 0), private, (uint32_t)ARG(regs, 2), bits, deadline);
}

int64_t call_futex(struct registers *regs)
{
	uint32_t operation = (uint32_t)ARG(regs, 1);
	bool private = operation & FUTEX_PRIVATE;
	uint32_t command = operation & ~(uint32_t)(FUTEX_PRIVATE | FUTEX_REALTIME);
	struct requeue request = {
		.from = ARG(regs, 0),
		.to = ARG(regs, 4),
		.wakes = (int32_t)ARG(regs, 2),
		.moves = (int32_t)ARG(regs, 3),
		.private = private,
		.compares = command == FUTEX_CMP_REQUEUE,
		.expected = (uint32_t)ARG(regs, 5),
	};

	if (operation & FUTEX_REALTIME && command != FUTEX_WAIT_BITSET)
		return -ENOSYS;
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		return call_wait(regs, command == FUTEX_WAIT_BITSET, operation & FUTEX_REALTIME,
				 private);
	case FUTEX_WAKE:
		return wake_bits(ARG(regs, 0), request.wakes, private, ANY);
	case FUTEX_WAKE_BITSET:
		if (!(uint32_t)ARG(regs, 5))
			return -EINVAL;
		return wake_bits(ARG(regs, 0), request.wakes, private, (uint32_t)ARG(regs, 5));
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		return requeue(&request);
	case FUTEX_WAKE_OP:
		return wake_two(regs, private);
	default:
		return -ENOSYS;
	}
}
