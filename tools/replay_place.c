/* SPDX-License-Identifier: MIT */
/* Tasks, spaces, and positions in the order of the plan: see replay_plan.c. */
#include "replay_plan.h"

#include <stdlib.h>
#include <string.h>

#define SPACES_MAX (1u << 18)

bool plan_fail(struct planner *p, const char *why)
{
	if (!p->failure)
		p->failure = why;
	return false;
}

bool plan_no_memory(struct planner *p)
{
	return plan_fail(p, "not enough memory for the plan, or a layout in too many pieces");
}

uint32_t plan_new_space(struct planner *p)
{
	struct plan *plan = p->plan;
	uint32_t s = plan->space_count;

	if (s == SPACES_MAX) {
		plan_fail(p, "too many address spaces");
		return REPLAY_NONE;
	}
	if ((s & (s - 1)) == 0) { /* full: a power of two, or none */
		struct space *bigger = realloc(plan->spaces, (s ? s * 2ull : 1) * sizeof(*bigger));

		if (!bigger) {
			plan_no_memory(p);
			return REPLAY_NONE;
		}
		plan->spaces = bigger;
	}
	memset(&plan->spaces[s], 0, sizeof(plan->spaces[s]));
	plan->spaces[s].members = REPLAY_NONE;
	plan->spaces[s].final = plan->spaces[s].final_last = REPLAY_END;
	plan->space_count++;
	return s;
}

uint32_t plan_new_task(struct planner *p, int32_t tid, uint32_t space)
{
	struct plan *plan = p->plan;
	uint32_t t = plan->task_count;

	if ((t & (t - 1)) == 0) {
		struct task *bigger = realloc(plan->tasks, (t ? t * 2ull : 1) * sizeof(*bigger));

		if (!bigger) {
			plan_no_memory(p);
			return REPLAY_NONE;
		}
		plan->tasks = bigger;
	}
	memset(&plan->tasks[t], 0, sizeof(plan->tasks[t]));
	plan->tasks[t].space = space;
	plan->task_count++;
	p->task_of_tid[tid] = t + 1;
	return t;
}

uint32_t plan_task(struct planner *p, const struct trace_event *e)
{
	uint32_t space;

	if (p->task_of_tid[e->tid])
		return p->task_of_tid[e->tid] - 1;
	if (p->space_of_pid[e->pid]) {
		space = p->space_of_pid[e->pid] - 1;
	} else {
		space = plan_new_space(p);
		if (space == REPLAY_NONE)
			return REPLAY_NONE;
		if (!shadow_init(&p->plan->spaces[space].shadow, SHADOW_UNKNOWN)) {
			plan_no_memory(p);
			return REPLAY_NONE;
		}
		p->plan->spaces[space].initial = true;
		p->plan->spaces[space].pid = e->pid;
		p->space_of_pid[e->pid] = space + 1;
	}
	return plan_new_task(p, e->tid, space);
}

struct wait wait_both(struct wait a, struct wait b)
{
	if (a.position == 0 || b.position == 0)
		return a.position ? a : b;
	return (struct wait){ .task = a.task == b.task ? a.task : REPLAY_ALL,
			      .position = a.position > b.position ? a.position : b.position };
}

/* The task's last position was the first that it has in this space: it is one of the space's tasks.
 */
static bool join(struct planner *p, uint32_t task, uint32_t space)
{
	struct plan *plan = p->plan;
	uint32_t m = plan->member_count;

	if ((m & (m - 1)) == 0) {
		struct member *bigger = realloc(plan->members,
						(m ? m * 2ull : 1) * sizeof(*bigger));

		if (!bigger)
			return plan_no_memory(p);
		plan->members = bigger;
	}
	plan->members[m] = (struct member){ .task = task, .next = plan->spaces[space].members };
	plan->spaces[space].members = m;
	plan->spaces[space].users++;
	plan->member_count++;
	return true;
}

uint32_t plan_place(struct planner *p, uint32_t event, uint32_t task, enum expect expect,
		    struct wait wait)
{
	struct plan *plan = p->plan;
	struct task *t = &plan->tasks[task];
	struct space *s = &plan->spaces[t->space];
	uint32_t position = ++plan->count;

	/* What began the space comes first, if nothing that is waited for has seen to that. */
	if (wait.position < s->begin && s->begin_task != task)
		wait = (struct wait){ s->begin_task, s->begin };
	if (t->first == 0)
		wait = wait_both(wait, (struct wait){ t->start_task, t->start });
	plan->events[position] = (struct planned){
		.event = event,
		.task = task,
		.space = t->space,
		.next = REPLAY_END,
		.wait_task = wait.position ? wait.task : REPLAY_NONE,
		.wait_for = wait.position,
		.child = REPLAY_NONE,
		.expect = (uint8_t)expect,
	};
	if ((t->first == 0 || plan->events[t->last].space != t->space) && !join(p, task, t->space))
		return 0;
	if (t->first == 0)
		t->first = position;
	else
		plan->events[t->last].next = position;
	t->last = position;
	s->last = position;
	return position;
}
