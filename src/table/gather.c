/* SPDX-License-Identifier: MIT */
/* What a sweep took away: see gather.h. */
#include "table/gather.h"

void gather_init(struct gather *g, struct tables *tables)
{
	g->tables = tables;
	g->start = UINT64_MAX;
	g->end = 0;
	g->unhooked = NULL;
	g->count = 0;
	g->batches = NULL;
	g->batch_count = 0;
}

unsigned gather_more_room(struct gather *g)
{
	struct frame *batch;

	port_pin();
	batch = frame_alloc(0);
	port_unpin();
	if (batch) {
		batch->u.free.next = g->batches;
		g->batches = batch;
		g->batch_count = 0;
	} else {
		gather_finish(g);
	}
	return gather_left(g);
}

void gather_frame(struct gather *g, struct frame *frame)
{
	uint32_t index = (uint32_t)(frame - frame_table);

	assert_debug(gather_left(g) > 0);
	if (g->batches)
		((uint32_t *)frame_bytes(g->batches))[g->batch_count++] = index;
	else
		g->small[g->count++] = index;
}

static void put_all(const uint32_t *frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		frame_put(frame_table + frames[i]);
}

void gather_finish(struct gather *g)
{
	struct frame *batch = g->batches;
	size_t count = g->batch_count;

	assert_none_held();
	if (g->start < g->end || g->unhooked) {
		if (g->start >= g->end)
			g->start = g->end = 0;
		port_flush(&g->tables->port, g->start, g->end, g->unhooked != NULL);
	}
	port_pin();
	if (g->start < g->end || g->unhooked)
		trace_count(&g->tables->trace[port_cpu()].counters[QUIRE_FLUSHES]);
	put_all(g->small, g->count);
	while (batch) {
		struct frame *next = batch->u.free.next;

		put_all(frame_bytes(batch), count);
		frame_put(batch);
		batch = next;
		count = GATHER_BATCH;
		/* A pinned CPU may answer no flush: not for longer than one batch. */
		port_unpin();
		port_pin();
	}
	if (g->unhooked)
		table_defer(g->unhooked);
	port_unpin();
	gather_init(g, g->tables);
}
