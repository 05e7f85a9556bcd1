/* SPDX-License-Identifier: MIT */
/* Making and unmaking address spaces, their settings and their counters. */
#include "space/space.h"

#include "space/machine.h"
#include "sync/sleep.h"

struct slab vma_slab, mm_slab;

/* All spaces, and what the dead ones counted. */
static struct {
	struct spinlock lock; /* RANK_SPACES */
	struct quire_mm *first;
	struct trace_block *dead; /* for each CPU */
} spaces;

static void enlist(struct quire_mm *mm)
{
	section_enter();
	spin_lock(&spaces.lock, RANK_SPACES);
	mm->prev = NULL;
	mm->next = spaces.first;
	if (mm->next)
		mm->next->prev = mm;
	spaces.first = mm;
	spin_unlock(&spaces.lock);
	section_leave();
}

/* => the space's tree is locked */
static void sum(struct quire_mm *mm, struct quire_stats *stats)
{
	for (unsigned cpu = 0; cpu < machine_cpus(); cpu++)
		trace_sum(stats, &mm->tables.trace[cpu]);
	stats->tables++; /* the root */
	stats->vmas += mm->vmas;
	stats->mapped += mm->mapped << PAGE_SHIFT;
	stats->locked += mm->locked << PAGE_SHIFT;
	stats->data += mm->data << PAGE_SHIFT;
}

static void delist(struct quire_mm *mm)
{
	section_enter();
	spin_lock(&spaces.lock, RANK_SPACES);
	for (unsigned cpu = 0; cpu < machine_cpus(); cpu++)
		trace_keep(&spaces.dead[cpu], &mm->tables.trace[cpu]);
	if (mm->prev)
		mm->prev->next = mm->next;
	else
		spaces.first = mm->next;
	if (mm->next)
		mm->next->prev = mm->prev;
	spin_unlock(&spaces.lock);
	section_leave();
}

struct quire_mm *space_first(void)
{
	return spaces.first;
}

size_t space_memory(unsigned cpus)
{
	return cpus * sizeof(struct trace_block);
}

void space_init(void *memory)
{
	spin_init(&spaces.lock);
	spaces.first = NULL;
	spaces.dead = memory;
}

static unsigned trace_order(void)
{
	size_t bytes = machine_cpus() * sizeof(struct trace_block);
	unsigned order = 0;

	while ((PAGE_SIZE << order) < bytes)
		order++;
	return order;
}

/* The end of the lower half of what the tables translate. */
static uint64_t highest(void)
{
	return 1ull << (PAGE_SHIFT + TABLE_BITS * machine_levels() - 1);
}

static bool valid_range(const struct quire_mm *mm, uint64_t brk_start)
{
	return !((mm->start | mm->end | mm->mmap_top | mm->stack_gap) & PAGE_MASK) &&
	       mm->start < mm->end && mm->end <= highest() && mm->mmap_top > mm->start &&
	       mm->mmap_top <= mm->end && mm->stack_gap <= highest() &&
	       (!brk_start || (brk_start >= mm->start && brk_start <= mm->end));
}

/* What 0 stands for is put in place: nobody sees it in the space. */
static struct quire_limits whole_limits(const struct quire_limits *limits)
{
	struct quire_limits whole = *limits;
	uint64_t *values[] = { &whole.address_space, &whole.data, &whole.stack, &whole.locked };

	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!*values[i])
			*values[i] = QUIRE_UNLIMITED;
	if (!whole.vmas)
		whole.vmas = 65530;
	return whole;
}

/* The settings of a new space. False: they make no sense. */
static bool configure(struct quire_mm *mm, const struct quire_mm_config *config)
{
	bool whole = !config->start && !config->end;

	mm->mode = config->mode;
	mm->start = whole ? 0x10000 : config->start;
	mm->end = whole ? highest() - PAGE_SIZE : config->end;
	mm->mmap_top = config->mmap_top ? config->mmap_top : mm->end;
	mm->stack_gap = config->stack_gap ? config->stack_gap : 0x100000;
	mm->brk_start = mm->brk = config->brk_start;
	quire_mm_set_speculation(mm, !config->no_speculation);
	mm->limits = whole_limits(&config->limits);
	return (unsigned)config->mode <= QUIRE_CLASSIC && valid_range(mm, config->brk_start);
}

static void initialise(struct quire_mm *mm)
{
	static _Atomic uint64_t ids;

	mm->id = at_add(&ids, 1ull) + 1;
	tree_init(&mm->tree);
	spin_init(&mm->tree_lock);
	mm->vmas = mm->mapped = mm->locked = mm->data = 0;
	mm->lock_future = 0;
	mm->gone = NULL;
	at_store(&mm->keys, 1u); /* key 0 is everybody's */
	range_lock_init(&mm->ranges);
	rwsem_init(&mm->lock);
	at_store(&mm->forking, 0u);
	at_store(&mm->sweeps, 0u);
}

/* => in a section */
static int allocate_tables(struct quire_mm *mm)
{
	struct frame *blocks = frame_alloc(trace_order());
	int error;

	if (!blocks)
		return -QUIRE_ENOMEM;
	for (size_t i = 0; i < 1ull << trace_order(); i++)
		port_clear_page((unsigned char *)frame_bytes(blocks) + i * PAGE_SIZE);
	error = tables_init(&mm->tables, machine_levels(), frame_bytes(blocks));
	if (error)
		frame_put(blocks);
	return error;
}

int quire_mm_create(const struct quire_mm_config *config, struct quire_mm **out)
{
	static const struct quire_mm_config defaults;
	struct quire_mm *mm;
	int error = -QUIRE_EINVAL;

	section_enter();
	mm = slab_alloc(&mm_slab);
	if (mm) {
		initialise(mm);
		if (configure(mm, config ? config : &defaults))
			error = allocate_tables(mm);
		if (error)
			slab_free(&mm_slab, mm);
	}
	section_leave();
	if (!mm)
		return -QUIRE_ENOMEM;
	if (error)
		return error;
	enlist(mm);
	*out = mm;
	return 0;
}

int space_create_like(struct quire_mm *parent, struct quire_mm **out)
{
	struct quire_mm_config config = {
		.mode = parent->mode,
		.start = parent->start,
		.end = parent->end,
		.mmap_top = parent->mmap_top,
		.brk_start = parent->brk_start,
		.stack_gap = parent->stack_gap,
		.no_speculation = !at_load(&parent->speculation),
	};

	quire_mm_get_limits(parent, &config.limits);
	return quire_mm_create(&config, out);
}

/*
 * No object knows the space any more, and none is sweeping it: whoever found a mapping before it
 * was dropped has counted itself in `sweeps`.
 */
static void leave_objects(struct quire_mm *mm)
{
	uint32_t sweeps;

	space_edit_begin(mm);
	for_each_vma(vma, &mm->tree, 0, UINT64_MAX)
		space_account_mapping(mm, vma, -1);
	space_edit_end(mm);
	/* Acquire: pairs with the end of mapping_sweep_all's turn. */
	while ((sweeps = at_load_acquire(&mm->sweeps)) != 0)
		sleep_on(&mm->sweeps, sweeps);
}

/* => nobody else knows the space any more */
static void free_vmas(struct quire_mm *mm)
{
	struct vma *vma, *next;

	for (vma = tree_next(&mm->tree, 0); vma; vma = next) {
		next = tree_next(&mm->tree, vma->end);
		vma_free(vma);
	}
	tree_free(&mm->tree);
}

void quire_mm_destroy(struct quire_mm *mm)
{
	leave_objects(mm);
	space_zap_all(mm);
	require(range_count(&mm->ranges) == 0);
	delist(mm);
	section_enter();
	free_vmas(mm);
	tables_exit(&mm->tables);
	frame_put(frame_of_bytes(mm->tables.trace));
	slab_free(&mm_slab, mm);
	section_leave();
	grace_poll();
	object_reap();
}

void quire_mm_set_speculation(struct quire_mm *mm, bool on)
{
	at_store(&mm->speculation, PORT_SPECULATION && mm->mode == QUIRE_SPECULATIVE && on);
}

void quire_mm_set_limits(struct quire_mm *mm, const struct quire_limits *limits)
{
	space_edit_begin(mm);
	mm->limits = whole_limits(limits);
	space_edit_end(mm);
}

void quire_mm_get_limits(struct quire_mm *mm, struct quire_limits *limits)
{
	space_edit_begin(mm);
	*limits = mm->limits;
	space_edit_end(mm);
}

void quire_stats(struct quire_mm *mm, struct quire_stats *stats)
{
	*stats = (struct quire_stats){ 0 };
	section_enter();
	if (mm) {
		spin_lock(&mm->tree_lock, RANK_TREE);
		sum(mm, stats);
		spin_unlock(&mm->tree_lock);
	} else {
		spin_lock(&spaces.lock, RANK_SPACES);
		for (unsigned cpu = 0; cpu < machine_cpus(); cpu++)
			trace_sum(stats, &spaces.dead[cpu]);
		for (mm = spaces.first; mm; mm = mm->next) {
			spin_lock(&mm->tree_lock, RANK_TREE);
			sum(mm, stats);
			spin_unlock(&mm->tree_lock);
		}
		spin_unlock(&spaces.lock);
	}
	section_leave();
}

void quire_stats_cpu(unsigned cpu, struct quire_stats *stats)
{
	*stats = (struct quire_stats){ 0 };
	if (cpu >= machine_cpus())
		return;
	section_enter();
	spin_lock(&spaces.lock, RANK_SPACES);
	trace_sum(stats, &spaces.dead[cpu]);
	for (const struct quire_mm *mm = spaces.first; mm; mm = mm->next)
		trace_sum(stats, &mm->tables.trace[cpu]);
	spin_unlock(&spaces.lock);
	section_leave();
	stats->anonymous = stats->object_pages = stats->tables = 0;
}

int quire_vma_find(struct quire_mm *mm, uint64_t address, struct quire_vma_info *info)
{
	const struct vma *vma;

	space_edit_begin(mm);
	vma = tree_next(&mm->tree, address);
	if (vma)
		*info = (struct quire_vma_info){
			.start = vma->start,
			.end = vma->end,
			.prot = (int)(vma->flags & VMA_PROT),
			.key = (int)vma->key,
			.shared = vma->flags & VMA_SHARED,
			.locked = vma->flags & VMA_LOCKED,
			.growsdown = vma->flags & VMA_GROWSDOWN,
			.dontfork = vma->flags & VMA_DONTFORK,
			.wipeonfork = vma->flags & VMA_WIPEONFORK,
			.heap = vma->start < mm->brk && vma->end > mm->brk_start,
			.noreserve = vma->flags & VMA_NORESERVE,
			.object = vma->mapping ? vma->mapping->object : NULL,
			.offset = vma->mapping ? vma->start - vma->mapping->origin : 0,
		};
	space_edit_end(mm);
	return vma ? 0 : -QUIRE_ENOMEM;
}

int quire_pkey_alloc(struct quire_mm *mm)
{
	int key = -QUIRE_EINVAL;

	if (!PORT_HAS_KEYS)
		return key;
	space_edit_begin(mm);
	for (key = 1; key < 16 && at_load(&mm->keys) & 1u << key; key++)
		;
	if (key < 16)
		at_store(&mm->keys, at_load(&mm->keys) | 1u << key);
	else
		key = -QUIRE_ENOSPC;
	space_edit_end(mm);
	return key;
}

int quire_pkey_free(struct quire_mm *mm, int key)
{
	int error = -QUIRE_EINVAL;

	space_edit_begin(mm);
	if (key > 0 && key < 16 && at_load(&mm->keys) & 1u << key) {
		at_store(&mm->keys, at_load(&mm->keys) & ~(1u << key));
		error = 0;
	}
	space_edit_end(mm);
	return error;
}
