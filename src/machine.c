/* SPDX-License-Identifier: MIT */
/*
 * Starting and stopping Quire: the memory is taken over, the per-CPU blocks are laid out, the
 * caches are made.
 */
#include "frame/rmap.h"
#include "object/kinds.h"
#include "space/machine.h"
#include "space/mm.h"
#include <quire/quire.h>

static struct {
	bool running;
	unsigned cpus, levels;
} machine;

unsigned machine_cpus(void)
{
	return machine.cpus;
}

unsigned machine_levels(void)
{
	return machine.levels;
}

const char *quire_version(void)
{
	return QUIRE_VERSION;
}

static struct {
	struct slab *slab;
	const char *name;
	uint32_t size;		   /* 0: ask */
	uint32_t (*size_of)(void); /* of what only its own file knows */
} caches[] = {
	{ &vma_slab, "vma", sizeof(struct vma), NULL },
	{ &tree_slab, "tree node", 0, tree_node_size },
	{ &rmap_slab, "reverse map", sizeof(struct rmap), NULL },
	{ &mm_slab, "address space", sizeof(struct quire_mm), NULL },
	{ &mapping_slab, "mapping", sizeof(struct mapping), NULL },
	{ &object_slab, "object", sizeof(struct quire_object), NULL },
	{ &cache_slab, "cache node", 0, cache_node_size },
	{ &pages_slab, "page request", 0, pages_size },
	{ &file_slab, "file", 0, file_size },
};

#define CACHES (sizeof(caches) / sizeof(caches[0]))
#define ROUND(x) (((x) + 127) & ~(size_t)127)

_Static_assert(sizeof(struct quire_mm) <= 2048, "a space fits into a cache");

/* Hand out the next part of the block that was carved for us. */
static void *part(unsigned char **block, size_t bytes)
{
	void *start = *block;

	*block += ROUND(bytes);
	return start;
}

static void lay_out(unsigned char *block, const struct quire_config *config)
{
	grace_init(part(&block, grace_memory(config->cpus)), config->cpus,
		   config->stall_ns ? config->stall_ns : 1000000000);
	trace_init(part(&block, trace_memory(config->cpus)), config->cpus);
	space_init(part(&block, space_memory(config->cpus)));
	for (size_t i = 0; i < CACHES; i++)
		slab_init(caches[i].slab, caches[i].name,
			  caches[i].size ? caches[i].size : caches[i].size_of(),
			  part(&block, slab_memory(config->cpus)), config->cpus);
}

int quire_init(const struct quire_config *config)
{
	void *block;
	size_t bytes;
	int error;

	if (machine.running)
		return -QUIRE_EBUSY;
	if (!config->cpus || config->cpus > MAX_CPUS || !config->nodes ||
	    config->nodes > MAX_NODES || config->levels < 4 || config->levels > PORT_MAX_LEVELS)
		return -QUIRE_EINVAL;
	bytes = ROUND(grace_memory(config->cpus)) + ROUND(trace_memory(config->cpus)) +
		ROUND(space_memory(config->cpus)) + CACHES * ROUND(slab_memory(config->cpus));
	error = frame_init(config->memory, config->memory_count, config->nodes, config->cpus, bytes,
			   &block);
	if (error)
		return error;
	lay_out(block, config);
	object_reset();
	machine.cpus = config->cpus;
	machine.levels = config->levels;
	machine.running = true;
	return 0;
}

int quire_exit(void)
{
	if (space_first() || object_first())
		return -QUIRE_EBUSY;
	machine.running = false;
	return 0;
}

void quire_cpu_online(void)
{
	grace_online();
}

void quire_cpu_offline(void)
{
	grace_offline();
}

void quire_quiescent(void)
{
	grace_poll();
}

unsigned quire_idle(unsigned pages)
{
	unsigned done;

	port_pin();
	done = frame_idle(pages);
	port_unpin();
	return done;
}

int quire_barrier(uint64_t timeout_ns)
{
	return grace_barrier(timeout_ns) ? 0 : -QUIRE_EAGAIN;
}

void *quire_pages_alloc(unsigned order, bool zeroed)
{
	struct frame *block;
	unsigned char *pages;

	if (order > QUIRE_PAGES_ORDER)
		return NULL;
	section_enter();
	block = order == 0 && zeroed ? frame_alloc_zeroed(NULL) : frame_alloc(order);
	section_leave();
	if (!block)
		return NULL;
	pages = frame_bytes(block);
	for (size_t i = 0; order != 0 && zeroed && i < 1ull << order; i++)
		port_clear_page(pages + i * PAGE_SIZE);
	return pages;
}

void quire_pages_free(void *pages, unsigned order)
{
	struct frame *block = frame_of_bytes(pages);

	require(block->kind == FRAME_USED && block->order == order);
	section_enter();
	frame_put(block);
	section_leave();
}

void quire_memory_stats(struct quire_memory_stats *stats)
{
	struct frame_stats frames;

	frame_stats(&frames);
	*stats = (struct quire_memory_stats){
		.total = frames.total,
		.free = frames.free + frames.stocked,
		.stocked = frames.stocked,
		.zeroed = frames.zeroed,
		.deferred = grace_pending(),
		.stalls = grace_stalls(),
	};
}
