/* SPDX-License-Identifier: MIT */
/*
 * epoll(7).
 *
 *     file's queue ──wake──► watch ──► epoll->ready (a list) ──► epoll's queue ──► sleepers
 *
 * A watch sits in its file's queue for as long as it is registered. When the file's state may have
 * changed it goes to the ready list; who waits asks those files alone. A level-triggered watch that
 * was reported goes back to the list's end, to be asked again; an edge-triggered one waits for the
 * next wake; a one-shot one for epoll_ctl.
 *
 * A watch does not hold its file. The file's end takes the watch away, which waits until its wake
 * does not run.
 *
 * Locks: watches_mutex (who registers what, over all epolls), then epoll->lock (irq: the ready
 * list), which is also taken by a wake, under the lock of the file's queue.
 */
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)
#define EVENT_BITS 0xffffu
#define EVENTS_MOST 1024

struct epoll {
	struct list watches; /* watches_mutex */
	struct lock lock;    /* irq */
	struct list ready;
	struct wait_queue queue;
};

struct watch {
	struct list node;    /* in epoll->watches */
	struct list of_file; /* in file->watches */
	struct list ready;   /* in epoll->ready; alone: not */
	struct epoll *epoll;
	struct file *file;
	int descriptor;
	struct waiter waiter;
	uint32_t events; /* errors among them; no bits but flags: disarmed */
	uint64_t data;
};

struct user_event {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));

static struct mutex watches_mutex = MUTEX_INIT(watches_mutex);

static bool is_armed(const struct watch *watch)
{
	return watch->events & EVENT_BITS;
}

static void make_ready(struct watch *watch)
{
	struct epoll *epoll = watch->epoll;
	uint64_t flags = lock_take_irq(&epoll->lock);

	if (list_empty(&watch->ready))
		list_add(&epoll->ready, &watch->ready);
	lock_drop_irq(&epoll->lock, flags);
	wait_wake(&epoll->queue);
}

static void wake_watch(struct waiter *waiter)
{
	make_ready(container_of(waiter, struct watch, waiter));
}

static void make_unready(struct watch *watch)
{
	uint64_t flags = lock_take_irq(&watch->epoll->lock);

	list_remove(&watch->ready);
	lock_drop_irq(&watch->epoll->lock, flags);
}

/* => watches_mutex */
static void drop_watch(struct watch *watch)
{
	waiter_remove(&watch->waiter);
	make_unready(watch);
	list_remove(&watch->node);
	list_remove(&watch->of_file);
	heap_free(watch);
}

void epoll_forget(struct file *file)
{
	/* Nobody else has the file: none comes. One may be going: it is gone when both ends say so.
	 */
	if (list_empty(&file->watches) && file->watches.prev == &file->watches)
		return;
	mutex_take(&watches_mutex);
	list_for_each_safe(watch, &file->watches, struct watch, of_file)
		drop_watch(watch);
	mutex_drop(&watches_mutex);
}

static bool has_ready(struct epoll *epoll)
{
	uint64_t flags = lock_take_irq(&epoll->lock);
	bool any = !list_empty(&epoll->ready);

	lock_drop_irq(&epoll->lock, flags);
	return any;
}

/* The first of the list, out of it; NULL. => watches_mutex */
static struct watch *take_ready(struct epoll *epoll)
{
	uint64_t flags = lock_take_irq(&epoll->lock);
	struct watch *watch = NULL;

	if (!list_empty(&epoll->ready)) {
		watch = list_first(&epoll->ready, struct watch, ready);
		list_remove(&watch->ready);
	}
	lock_drop_irq(&epoll->lock, flags);
	return watch;
}

/* Into a list of the caller's for now; a wake that comes meanwhile has nothing to do. */
static void set_aside(struct epoll *epoll, struct list *aside, struct watch *watch)
{
	uint64_t flags = lock_take_irq(&epoll->lock);

	list_remove(&watch->ready);
	list_add(aside, &watch->ready);
	lock_drop_irq(&epoll->lock, flags);
}

/*
 * What the ready ones have to say, each once; those of level that have something are put back. What
 * a one-shot watch says is its last.
 */
static unsigned collect(struct epoll *epoll, struct user_event *to, unsigned room)
{
	struct list again;
	struct watch *watch;
	unsigned count = 0;
	bool waits;

	list_init(&again);
	mutex_take(&watches_mutex);
	while (count < room && (watch = take_ready(epoll))) {
		unsigned ready = 0;

		if (is_armed(watch))
			ready = file_ready(watch->file) & watch->events;
		if (!ready)
			continue;
		to[count++] = (struct user_event){ ready, watch->data };
		if (watch->events & EPOLLONESHOT)
			watch->events &= ~EVENT_BITS;
		else if (!(watch->events & EPOLLET))
			set_aside(epoll, &again, watch);
	}
	waits = !list_empty(&again);
	while (!list_empty(&again))
		set_aside(epoll, &epoll->ready, list_first(&again, struct watch, ready));
	if (waits) /* who looked meanwhile has seen none of them */
		wait_wake(&epoll->queue);
	mutex_drop(&watches_mutex);
	return count;
}

static unsigned epoll_poll(struct file *file)
{
	return has_ready(file->private_data) ? POLLIN_NORMAL : 0;
}

static struct wait_queue *epoll_queue(struct file *file)
{
	return &((struct epoll *)file->private_data)->queue;
}

static void epoll_release(struct file *file)
{
	struct epoll *epoll = file->private_data;

	mutex_take(&watches_mutex);
	list_for_each_safe(watch, &epoll->watches, struct watch, node)
		drop_watch(watch);
	mutex_drop(&watches_mutex);
	heap_free(epoll);
}

static const struct file_ops epoll_file_ops = {
	.poll = epoll_poll,
	.queue = epoll_queue,
	.release = epoll_release,
};

static int64_t create(unsigned flags)
{
	struct epoll *epoll = heap_zero(sizeof(*epoll));
	struct file *file;
	int result;

	if (!epoll)
		return -ENOMEM;
	list_init(&epoll->watches);
	list_init(&epoll->ready);
	wait_queue_init(&epoll->queue);
	file = file_create(&epoll_file_ops, O_RDWR, epoll);
	if (!file) {
		heap_free(epoll);
		return -ENOMEM;
	}
	result = file_name(file, "eventpoll");
	if (result == 0)
		result = file_install(file, 0, flags & O_CLOEXEC);
	if (result < 0)
		file_put(file);
	return result;
}

int64_t call_epoll_create(struct registers *regs)
{
	return (int)ARG(regs, 0) <= 0 ? -EINVAL : create(0);
}

int64_t call_epoll_create1(struct registers *regs)
{
	if (ARG(regs, 0) & ~(uint64_t)O_CLOEXEC)
		return -EINVAL;
	return create((unsigned)ARG(regs, 0));
}

/* => watches_mutex */
static struct watch *find_watch(struct epoll *epoll, struct file *file, int descriptor)
{
	list_for_each(watch, &epoll->watches, struct watch, node)
		if (watch->file == file && watch->descriptor == descriptor)
			return watch;
	return NULL;
}

static int add_watch(struct epoll *epoll, struct file *file, int descriptor,
		     const struct user_event *event)
{
	struct watch *watch = heap_zero(sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->epoll = epoll;
	watch->file = file;
	watch->descriptor = descriptor;
	watch->events = event->events | POLLERR | POLLHUP;
	watch->data = event->data;
	list_init(&watch->ready);
	list_add(&epoll->watches, &watch->node);
	list_add(&file->watches, &watch->of_file);
	waiter_watch(file->ops->queue(file), &watch->waiter, wake_watch);
	make_ready(watch); /* perhaps: who waits asks */
	return 0;
}

/* => watches_mutex */
static int control(struct epoll *epoll, int operation, struct file *file, int descriptor,
		   const struct user_event *event)
{
	struct watch *watch = find_watch(epoll, file, descriptor);

	if (operation == EPOLL_CTL_ADD)
		return watch ? -EEXIST : add_watch(epoll, file, descriptor, event);
	if (!watch)
		return -ENOENT;
	if (operation == EPOLL_CTL_DEL) {
		drop_watch(watch);
		return 0;
	}
	watch->events = event->events | POLLERR | POLLHUP;
	watch->data = event->data;
	make_ready(watch);
	return 0;
}

static int64_t control_files(struct file *own, struct file *file, struct registers *regs)
{
	int operation = (int)ARG(regs, 1), result;
	struct user_event event = { 0 };

	if (operation != EPOLL_CTL_DEL && user_read(&event, ARG(regs, 3), sizeof(event)))
		return -EFAULT;
	if (file->ops == &epoll_file_ops || own->ops != &epoll_file_ops)
		return -EINVAL;
	if (!file->ops->poll)
		return -EPERM;
	if (operation < EPOLL_CTL_ADD || operation > EPOLL_CTL_MOD)
		return -EINVAL;
	mutex_take(&watches_mutex);
	result = control(own->private_data, operation, file, (int)ARG(regs, 2), &event);
	mutex_drop(&watches_mutex);
	return result;
}

int64_t call_epoll_ctl(struct registers *regs)
{
	struct file *own = file_get((int)ARG(regs, 0)), *file = file_get((int)ARG(regs, 2));
	int64_t result = own && file ? control_files(own, file, regs) : -EBADF;

	file_put(file);
	file_put(own);
	return result;
}

/* What was collected could not be told: all may be ready. */
static void make_all_ready(struct epoll *epoll)
{
	mutex_take(&watches_mutex);
	list_for_each(watch, &epoll->watches, struct watch, node)
		make_ready(watch);
	mutex_drop(&watches_mutex);
}

static int64_t wait_for_events(struct epoll *epoll, uint64_t address, unsigned room,
			       struct user_event *events, uint64_t deadline)
{
	int waited = 0;

	for (;;) {
		unsigned count = collect(epoll, events, room);

		if (count && user_write(address, events, count * sizeof(*events))) {
			make_all_ready(epoll);
			return -EFAULT;
		}
		if (count || deadline == 0 || waited == -ETIMEDOUT)
			return count;
		if (waited)
			return -EINTR;
		waited = wait_until(&epoll->queue, SLEEP_INTERRUPTIBLY, deadline, has_ready(epoll));
	}
}

static int64_t wait_on(int descriptor, uint64_t address, int room, uint64_t deadline)
{
	unsigned most = (unsigned)MIN(room, EVENTS_MOST);
	struct user_event *events;
	struct file *file;
	int64_t result = -EINVAL;

	if (room <= 0)
		return -EINVAL;
	file = file_get(descriptor);
	if (!file)
		return -EBADF;
	events = heap_alloc(most * sizeof(*events));
	if (!events)
		result = -ENOMEM;
	else if (file->ops == &epoll_file_ops)
		result = wait_for_events(file->private_data, address, most, events, deadline);
	heap_free(events);
	file_put(file);
	return result;
}

int64_t call_epoll_wait(struct registers *regs)
{
	return wait_on((int)ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2),
		       deadline_after((int)ARG(regs, 3)));
}

int64_t call_epoll_pwait(struct registers *regs)
{
	int error = mask_for_call(ARG(regs, 4), ARG(regs, 5));

	return error ? error : call_epoll_wait(regs);
}

int64_t call_epoll_pwait2(struct registers *regs)
{
	uint64_t deadline;
	int error = deadline_from_user(ARG(regs, 3), &deadline);

	if (!error)
		error = mask_for_call(ARG(regs, 4), ARG(regs, 5));
	if (error)
		return error;
	return wait_on((int)ARG(regs, 0), ARG(regs, 1), (int)ARG(regs, 2), deadline);
}
