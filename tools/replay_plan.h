/* SPDX-License-Identifier: MIT */
/*
 * Planning, inside.
 *
 *   replay_plan.c    looking ahead; tasks that come, change and go; the loop over all events
 *   replay_place.c   tasks, spaces, positions and waits
 *   replay_order.c   faults and calls: what each waits for
 */
#ifndef REPLAY_PLAN_H
#define REPLAY_PLAN_H

#include "replay.h"

struct wait {
	uint32_t task, position; /* position 0: none */
};

/* A call in progress. */
struct open_call {
	uint64_t end;
	uint32_t event, task, space;
	uint32_t fault; /* the last fault in its ranges when it began */
	unsigned count;
	struct range ranges[2];
};

/* The last fault on a page. */
struct page {
	uint64_t number;
	uint64_t until; /* by this time it was surely over */
	uint32_t space;
	uint32_t position; /* 0: an empty slot */
	uint32_t task;
	bool kernel; /* it was the kernel's */
};

struct planner {
	struct plan *plan;
	const struct trace *trace;
	uint32_t *next_own; /* of each event: the tid's next one; REPLAY_NONE: the last */
	uint32_t *clones;   /* for each C line, the last first: the child's first event */
	uint32_t clone_count;
	uint8_t *early; /* a bit for each event: a K of a task that is in exec */
	uint32_t *task_of_tid, *space_of_pid; /* plus 1; 0: none */
	struct open_call *open;		      /* a heap: the earliest end first */
	uint32_t open_count, open_room;
	struct page *pages; /* open addressing; a power of two */
	uint64_t page_room, page_count;
	uint64_t segments;
	const char *failure;
};

/* Note why there can be no plan. Both return false. */
bool plan_fail(struct planner *p, const char *why);
bool plan_no_memory(struct planner *p);

/* replay_place.c: REPLAY_NONE, or position 0: failed */
uint32_t plan_new_space(struct planner *p);
uint32_t plan_new_task(struct planner *p, int32_t tid, uint32_t space);
/* The task of an event; a task that no C line made begins here, in its process's space or in a new
 * one. */
uint32_t plan_task(struct planner *p, const struct trace_event *e);
/* Wait for both. */
struct wait wait_both(struct wait a, struct wait b);
/* Give the event the next position, behind the task's others. */
uint32_t plan_place(struct planner *p, uint32_t event, uint32_t task, enum expect expect,
		    struct wait wait);

/* replay_order.c. Return false: failed. */
bool plan_fault(struct planner *p, uint32_t event, uint32_t task);
/* A call begins; it gets its position when it ends. */
bool plan_call(struct planner *p, uint32_t event, uint32_t task);
/* Every call that had ended by this time takes effect. */
bool plan_end_calls(struct planner *p, uint64_t time);

#endif
