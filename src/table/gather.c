/* SPDX-License-Identifier: MIT */
/* What a sweep took away: see gather.h. A batch frame holds 1,024 indices of 32 bits. */
#include "table/gather.h"

#define BATCH_FRAMES (PAGE_SIZE / sizeof(uint32_t))

void gather_init(struct gather *g, struct tables *tables)
{
	g->tables = tables;
	g->start = UINT64_MAX;
	g->end = 0;
	g->unhooked = NULL;
	g->next = g->small;
	g->limit = g->small + GATHER_SMALL;
	g->batches = NULL;
}

unsigned gather_room(struct gather *g)
{
	struct frame *batch;

	if (likely(g->next < g->limit))
		return gather_left(g);
	port_pin();
	batch = frame_alloc(0);
	port_unpin();
	if (batch) {
		batch->u.free.next = g->batches;
		g->batches = batch;
		g->next = frame_bytes(batch);
		g->limit = g->next + BATCH_FRAMES;
	} else {
		gather_finish(g);
	}
	return gather_left(g);
}

void gather_finish(struct gather *g)
{
	struct frame *batch = g->batches;
	size_t count = (batch ? BATCH_FRAMES : GATHER_SMALL) - gather_left(g);

	assert_none_held();
	if (g->start < g->end || g->unhooked) {
		if (g->start >= g->end)
			g->start = g->end = 0;
		port_flush(&g->tables->port, g->start, g->end, g->unhooked != NULL);
	}
	port_pin();
	if (g->start < g->end || g->unhooked)
		trace_count(&g->tables->trace[port_cpu()].counters[QUIRE_FLUSHES]);
	frame_put_all(g->small, batch ? GATHER_SMALL : count);
	while (batch) {
		struct frame *next = batch->u.free.next;

		frame_put_all(frame_bytes(batch), count);
		frame_put(batch);
		batch = next;
		count = BATCH_FRAMES;
		/* A pinned CPU may answer no flush: not for longer than one batch. */
		port_unpin();
		port_pin();
	}
	if (g->unhooked)
		table_defer(g->unhooked);
	port_unpin();
	gather_init(g, g->tables);
}
