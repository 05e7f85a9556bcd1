/* SPDX-License-Identifier: MIT */
/*
 * The plan: in what order the recorded events may run, and what each waits for.
 *
 *     task 1   ──M 1────────┐   F 2     U 6──────┐
 *     task 2        F 3  F 4        F 7     P 8──────┐        time ──►
 *
 * A fault is a point in time, a call an interval. Each gets a *position*: a fault when it happens,
 * a call when it ends. Each task's own events keep their order.
 *
 * An event waits for what it *concerns*: memory that the same addresses name.
 *
 *   a fault       the last call on its address that had ended; the last fault on the same page, if
 *                 that was surely over
 *   a call        calls on its range that have lower positions; faults in its range that came
 *                 before it began; if it is a brk, the brk before it
 *   a fork        everything in the space that has a lower position; so does a change of a file's
 *                 size
 *   a first event the event that made the task; the exec or fork that made the space
 *
 * So calls overlap wherever nothing but chance ordered them, faults of different tasks are free,
 * and a fault that came while a call was changing its very address races with that call in the
 * replay too (and then its outcome isn't judged).
 *
 * A wait is a pair (task, position): that task must be past that position; or (all, position):
 * every task of the space must. One task is enough where that task waited for the others itself.
 * Every wait is for a lower position, so the task whose next position is lowest can always go on:
 * no deadlock.
 *
 * Two calls on the same addresses that overlap in time are put in order of their ends, with one
 * exception: a mapping that was placed (not at a fixed address) where something still is shows that
 * the call which removes that had taken effect before.
 */
#include "replay_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS_TOTAL_MAX (8u << 20) /* copied by forks, in all */
#define READAHEAD 64u		      /* pages that a fault on a file may fetch, at most */

/* ---- Looking ahead ---- */

static bool look_ahead(struct planner *p)
{
	const struct trace *trace = p->trace;
	uint32_t *next = p->task_of_tid; /* the tid's next event plus 1: a loan, zeroed at the end
					  */
	uint8_t *in_exec = calloc(TRACE_TID_MAX, 1);

	if (!in_exec)
		return plan_no_memory(p);
	for (size_t n = trace->count; n-- > 0;) {
		const struct trace_event *e = &trace->events[n];

		p->next_own[n] = next[e->tid] ? next[e->tid] - 1 : REPLAY_NONE;
		next[e->tid] = (uint32_t)n + 1;
		if (e->op != TRACE_KERNEL_FAULT)
			in_exec[e->tid] = e->op == TRACE_EXEC;
		else if (in_exec[e->tid])
			p->early[n / 8] |= (uint8_t)(1u << n % 8);
		if (e->op == TRACE_CLONE)
			p->clones[p->clone_count++] = next[e->child] ? next[e->child] - 1
								     : REPLAY_NONE;
	}
	memset(next, 0, TRACE_TID_MAX * sizeof(*next));
	free(in_exec);
	return true;
}

/* ---- Tasks that come, change and go ---- */

/* A mapping that the kernel made at exec; from the first on, nothing is unknown in this space. */
static bool plan_layout(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	struct space *space = &p->plan->spaces[p->plan->tasks[task].space];

	if (!space->complete) {
		space->complete = true;
		for (uint32_t i = 0; i < space->shadow.count; i++) {
			struct segment *s = &space->shadow.segments[i];

			if (s->state == SHADOW_UNKNOWN)
				s->state = SHADOW_FREE;
		}
	}
	if (space->brk_start == 0 && layout_is_heap(e)) {
		space->brk_start = e->address;
		space->brk = e->address + e->length;
	}
	return plan_call(p, event, task);
}

/* The child's copy: without what must not be inherited; a call in progress may be in it or not. */
static bool fork_shadow(struct planner *p, struct shadow *to, const struct shadow *from)
{
	p->segments += from->count;
	if (p->segments > SEGMENTS_TOTAL_MAX)
		return plan_fail(p, "too many mappings in all forks");
	if (!shadow_copy(to, from))
		return plan_no_memory(p);
	for (uint32_t i = 0; i < to->count; i++) {
		struct segment *s = &to->segments[i];

		if (s->open)
			s->state = SHADOW_UNKNOWN;
		else if (s->state == SHADOW_MAPPED && (s->flags & SHADOW_DONTFORK))
			s->state = SHADOW_FREE;
		s->open = s->call = s->call_task = s->fault = 0;
	}
	shadow_join(to, 0, to->count);
	return true;
}

static uint32_t plan_fork(struct planner *p, uint32_t parent, uint32_t position, uint32_t task)
{
	uint32_t child = plan_new_space(p);
	struct space *spaces = p->plan->spaces;

	if (child == REPLAY_NONE || !fork_shadow(p, &spaces[child].shadow, &spaces[parent].shadow))
		return REPLAY_NONE;
	spaces[child].brk_start = spaces[parent].brk_start;
	spaces[child].brk = spaces[parent].brk;
	spaces[child].complete = spaces[parent].complete;
	spaces[child].forked = true;
	spaces[child].begin = spaces[parent].begin = position;
	spaces[child].begin_task = spaces[parent].begin_task = task;
	return child;
}

static bool plan_clone(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	uint32_t space = p->plan->tasks[task].space, first = p->clones[--p->clone_count], position;
	struct wait wait = { 0 };
	bool shares;

	if (first == REPLAY_NONE) /* never heard of again */
		return plan_place(p, event, task, EXPECT_NOTHING, wait) != 0;
	shares = e->known ? (e->flags & TRACE_CLONE_VM) != 0
			  : p->trace->events[first].pid == e->pid;
	if (!shares)
		wait = (struct wait){ REPLAY_ALL, p->plan->spaces[space].last };
	position = plan_place(p, event, task, shares ? EXPECT_NOTHING : EXPECT_RESULT, wait);
	if (position == 0)
		return false;
	if (!shares) {
		space = plan_fork(p, space, position, task);
		if (space == REPLAY_NONE)
			return false;
		p->plan->events[position].child = space;
		p->plan->spaces[space].pid = p->trace->events[first].pid;
	}
	p->space_of_pid[p->trace->events[first].pid] = space + 1;

	uint32_t child = plan_new_task(p, e->child, space);

	if (child == REPLAY_NONE)
		return false;
	p->plan->tasks[child].start_task = task;
	p->plan->tasks[child].start = position;
	return true;
}

static bool plan_exec(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	uint32_t position = plan_place(p, event, task, EXPECT_NOTHING, (struct wait){ 0 });
	uint32_t space;

	if (position == 0)
		return false;
	space = plan_new_space(p);
	if (space == REPLAY_NONE)
		return false;
	if (!shadow_init(&p->plan->spaces[space].shadow, SHADOW_UNKNOWN))
		return plan_no_memory(p);
	p->plan->spaces[space].pid = e->pid;
	p->plan->spaces[space].begin = position;
	p->plan->spaces[space].begin_task = task;
	p->plan->events[position].child = space;
	p->plan->tasks[task].space = space;
	p->space_of_pid[e->pid] = space + 1;
	return true;
}

/* A line of the final layout: kept for the end. A child that shares its parent's space (vfork)
 * doesn't end it. */
static bool plan_final(struct planner *p, uint32_t event, uint32_t task)
{
	struct plan *plan = p->plan;
	struct space *space = &plan->spaces[plan->tasks[task].space];
	uint32_t position;

	if (space->pid != p->trace->events[event].pid)
		return true;
	position = ++plan->count;
	plan->events[position] =
		(struct planned){ .event = event, .task = task, .next = REPLAY_END };
	if (space->final == REPLAY_END)
		space->final = position;
	else
		plan->events[space->final_last].next = position;
	space->final_last = position;
	return true;
}

/* A file gets another size: like a fork it comes after all that was before, and before all that
 * comes after. */
static bool plan_resize(struct planner *p, uint32_t event, uint32_t task)
{
	const struct trace_event *e = &p->trace->events[event];
	struct file *file = file_of(p->plan, e);
	struct space *space = &p->plan->spaces[p->plan->tasks[task].space];
	struct wait wait = { REPLAY_ALL, space->last };

	if (!file || !file->mapped || file->size == file_size(e))
		return true;
	file->size = file_size(e);
	space->begin = plan_place(p, event, task, EXPECT_RESULT, wait);
	space->begin_task = task;
	return space->begin != 0;
}

static bool plan_event(struct planner *p, uint32_t event)
{
	const struct trace_event *e = &p->trace->events[event];
	uint32_t task;

	if (!plan_end_calls(p, e->time))
		return false;
	task = plan_task(p, e);
	if (task == REPLAY_NONE)
		return false;
	switch (e->op) {
	case TRACE_FAULT:
	case TRACE_KERNEL_FAULT:
		return plan_fault(p, event, task);
	case TRACE_CLONE:
		return plan_clone(p, event, task);
	case TRACE_EXEC:
		return plan_exec(p, event, task);
	case TRACE_EXIT:
		return plan_place(p, event, task, EXPECT_NOTHING, (struct wait){ 0 }) != 0;
	case TRACE_LAYOUT:
		return plan_layout(p, event, task);
	case TRACE_FINAL:
		return plan_final(p, event, task);
	case TRACE_FILE:
		return plan_resize(p, event, task);
	default:
		return plan_call(p, event, task);
	}
}

static bool allocate(struct planner *p)
{
	size_t count = p->trace->count;

	p->plan->events = calloc(count + 1, sizeof(*p->plan->events));
	p->next_own = calloc(count + 1, sizeof(*p->next_own));
	p->clones = calloc(count + 1, sizeof(*p->clones));
	p->early = calloc(count / 8 + 1, 1);
	p->task_of_tid = calloc(TRACE_TID_MAX, sizeof(*p->task_of_tid));
	p->space_of_pid = calloc(TRACE_TID_MAX, sizeof(*p->space_of_pid));
	return (p->plan->events && p->next_own && p->clones && p->early && p->task_of_tid &&
		p->space_of_pid) ||
	       plan_no_memory(p);
}

/* Pages of files that may be in memory: readahead fetches more than is asked for. */
static uint64_t cached_pages(const struct plan *plan)
{
	uint64_t sum = 0;

	for (uint32_t f = 0; f < plan->file_count; f++) {
		const struct file *file = &plan->files[f];
		uint64_t pages = file_pages(file->most);

		sum += pages < file->faults * READAHEAD ? pages : file->faults * READAHEAD;
	}
	return sum;
}

bool plan_make(struct plan *plan, const struct trace *trace, char *message, size_t size)
{
	struct planner p = { .plan = plan, .trace = trace };
	bool ok;

	*plan = (struct plan){ .trace = trace };
	if (trace->count >= REPLAY_ALL - 1)
		ok = plan_fail(&p, "too many events");
	else
		ok = allocate(&p) && look_ahead(&p) &&
		     (files_collect(plan) || plan_fail(&p, "not enough memory, or too many files"));
	for (size_t i = 0; ok && i < trace->count; i++)
		ok = plan_event(&p, (uint32_t)i);
	ok = ok && plan_end_calls(&p, UINT64_MAX);
	plan->pages += cached_pages(plan);
	free(p.next_own);
	free(p.clones);
	free(p.early);
	free(p.task_of_tid);
	free(p.space_of_pid);
	free(p.open);
	free(p.pages);
	if (!ok) {
		snprintf(message, size, "%s", p.failure);
		plan_free(plan);
	}
	return ok;
}

void plan_free(struct plan *plan)
{
	for (uint32_t i = 0; i < plan->space_count; i++)
		shadow_free(&plan->spaces[i].shadow);
	free(plan->events);
	free(plan->tasks);
	free(plan->spaces);
	free(plan->members);
	files_free(plan);
	*plan = (struct plan){ 0 };
}
