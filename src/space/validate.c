/* SPDX-License-Identifier: MIT */
/*
 * The validator of whole spaces: tree, tables, reverse maps, counters and frame pool must agree.
 * Nothing may be running.
 */
#include "space/space.h"

#include "frame/rmap.h"
#include "space/machine.h"

struct check {
	struct quire_mm *mm;
	const char *wrong;
	uint64_t tables, anonymous, objects;
};

static void fail(struct check *c, const char *wrong)
{
	if (!c->wrong)
		c->wrong = wrong;
}

static void check_anonymous(struct check *c, const struct vma *vma, pte entry, uint64_t address)
{
	struct frame *frame = frame_of(pte_pfn(entry));
	unsigned rights = pte_rights(entry);

	if (frame == frame_zero) {
		if (rights & RIGHT_WRITE)
			fail(c, "the zero page is mapped writable");
		return;
	}
	c->anonymous++;
	if (frame->kind != FRAME_ANON)
		fail(c, "an entry maps a frame that is not an anonymous page");
	else if (at_load(&frame->refs) != frame->u.page.mapcount)
		fail(c, "a page's references are not its mappings");
	else if (!rmap_has(frame, &c->mm->tables, address))
		fail(c, "a page's reverse map lacks an entry");
	else if (rights & RIGHT_WRITE && at_load(&frame->refs) != 1)
		fail(c, "a shared page is mapped writable");
	else if (rights & ~vma_flags_rights(vma->flags))
		fail(c, "an entry allows more than its VMA");
}

/* A page of an object: the one that the mapping shows here, writable only if that is known. */
static void check_object(struct check *c, const struct vma *vma, pte entry, uint64_t address)
{
	const struct frame *frame = frame_of(pte_pfn(entry));
	const struct quire_object *object = vma->mapping ? vma->mapping->object : NULL;
	bool writable = pte_rights(entry) & RIGHT_WRITE;
	struct cache_slot place;

	c->objects++;
	if (!object || frame->u.object.object != object ||
	    frame->u.object.index != mapping_index(vma->mapping, address)) {
		fail(c, "an entry maps a page that its mapping does not show there");
		return;
	}
	place = cache_find(&object->cache, frame->u.object.index);
	if (cache_load(&place) != frame)
		fail(c, "an entry maps a page that has left its object");
	else if (!(at_load(&frame->u.object.state) & PAGE_READY))
		fail(c, "an entry maps a page that is not ready");
	else if (writable && !(vma->flags & VMA_SHARED))
		fail(c, "an object's page is writable in a private mapping");
	else if (writable && object->tracks && !page_is_dirty(frame, &place))
		fail(c, "a page that is clean, or not marked, is mapped writable");
	else if (pte_rights(entry) & ~vma_flags_rights(vma->flags))
		fail(c, "an entry allows more than its VMA");
}

static void check_device(struct check *c, const struct vma *vma, pte entry, uint64_t address)
{
	const struct quire_object *object = vma->mapping ? vma->mapping->object : NULL;

	if (!object || !object->device ||
	    pte_pfn(entry) != object->physical + mapping_index(vma->mapping, address))
		fail(c, "a special entry where no device is mapped");
	else if (pte_rights(entry) & ~vma_flags_rights(vma->flags))
		fail(c, "an entry allows more than its VMA");
}

static void check_mapped(struct check *c, const struct vma *vma, pte entry, uint64_t address)
{
	if (pte_is_special(entry))
		check_device(c, vma, entry, address);
	else if (frame_of(pte_pfn(entry))->kind == FRAME_OBJECT)
		check_object(c, vma, entry, address);
	else
		check_anonymous(c, vma, entry, address);
}

static void check_leaf(struct check *c, struct frame *table, unsigned *used)
{
	slot *slots = frame_bytes(table);
	uint64_t address = table->u.table.base;

	for (unsigned i = 0; i < TABLE_ENTRIES; i++, address += PAGE_SIZE) {
		pte entry = at_load(&slots[i]);
		const struct vma *vma;

		if (entry == PTE_NONE)
			continue;
		++*used;
		vma = tree_find(&c->mm->tree, address);
		if (pte_is_busy(entry))
			fail(c, "an entry is in transition");
		else if (!pte_is_mapped(entry))
			fail(c, "an entry of no known kind");
		else if (!vma)
			fail(c, "an entry where nothing is mapped");
		else if (pte_key(entry) != vma->key)
			fail(c, "an entry's protection key is not its VMA's");
		else
			check_mapped(c, vma, entry, address);
	}
}

/* What a root has for its upper half is the port's: no space reaches there. */
static void check_inner(struct check *c, struct frame *table, unsigned *used)
{
	slot *slots = frame_bytes(table);
	unsigned entries = table->u.table.parent ? TABLE_ENTRIES : TABLE_ENTRIES / 2;

	for (unsigned i = 0; i < entries; i++) {
		pte entry = at_load(&slots[i]);
		struct frame *child;

		if (entry == PTE_NONE)
			continue;
		++*used;
		if (!pte_is_table(entry)) {
			fail(c, "an inner entry that is not a table");
			continue;
		}
		child = frame_of(pte_pfn(entry));
		if (child->u.table.parent != table ||
		    child->u.table.level + 1 != table->u.table.level ||
		    child->u.table.base !=
			    table->u.table.base + i * table_entry_span(table->u.table.level))
			fail(c, "a table's place and its descriptor disagree");
	}
}

static void check_table(struct frame *table, void *context)
{
	struct check *c = context;
	unsigned used = 0;

	c->tables++;
	if (table->kind != FRAME_TABLE || table->u.table.tables != &c->mm->tables)
		fail(c, "a table's frame is not a table of this space");
	else if (at_load(&table->u.table.dead))
		fail(c, "a dead table is hooked");
	else if (at_load(&table->u.table.lock.word))
		fail(c, "a table is locked");
	else if (table->u.table.level == 0)
		check_leaf(c, table, &used);
	else
		check_inner(c, table, &used);
	if (used != table->u.table.used)
		fail(c, "a table's count of entries is wrong");
}

static void check_layout(struct check *c)
{
	struct quire_mm *mm = c->mm, sums = { .vmas = 0 };
	size_t count = 0;
	const char *wrong = tree_validate(&mm->tree, &count);

	if (wrong)
		fail(c, wrong);
	for_each_vma(vma, &mm->tree, 0, UINT64_MAX) {
		if (at_load(&vma->seq) != VMA_LIVE)
			fail(c, "a VMA in the tree is not live");
		if ((vma->start | vma->end) & PAGE_MASK || vma->start < mm->start ||
		    vma->end > mm->end)
			fail(c, "a VMA's bounds");
		if (at_load(&vma->readers))
			fail(c, "a VMA is locked");
		if (vma->mapping &&
		    (vma->mapping->mm != mm || !vma->mapping->vmas ||
		     vma->start < vma->mapping->start || vma->end > vma->mapping->end))
			fail(c, "a VMA's mapping is not its own");
		space_account(&sums, vma, 1);
	}
	if (sums.vmas != count || sums.vmas != mm->vmas || sums.mapped != mm->mapped ||
	    sums.locked != mm->locked || sums.data != mm->data)
		fail(c, "the sums over the VMAs are wrong");
}

static void check_counters(struct check *c)
{
	int64_t anonymous = 0, objects = 0, tables = 1; /* the root */

	for (unsigned cpu = 0; cpu < machine_cpus(); cpu++) {
		anonymous += at_load(&c->mm->tables.trace[cpu].anonymous);
		objects += at_load(&c->mm->tables.trace[cpu].objects);
		tables += at_load(&c->mm->tables.trace[cpu].tables);
	}
	if (anonymous != (int64_t)c->anonymous)
		fail(c, "the count of anonymous pages is wrong");
	if (objects != (int64_t)c->objects)
		fail(c, "the count of pages of objects is wrong");
	if (tables != (int64_t)c->tables)
		fail(c, "the count of tables is wrong");
}

static const char *validate_mm(struct quire_mm *mm, uint64_t *anonymous, uint64_t *objects)
{
	struct check c = { .mm = mm };

	check_layout(&c);
	table_visit(&mm->tables, check_table, &c);
	check_counters(&c);
	if (range_count(&mm->ranges) || at_load(&mm->tree_lock.word))
		fail(&c, "a lock of the space is held");
	*anonymous += c.anonymous;
	*objects += c.objects;
	return c.wrong;
}

/*
 * Every mapping that the pages know of is an entry that was found, and every reference of an
 * object's page is its cache's or an entry's. `cached`: pages in the caches of all objects.
 */
static const char *check_pages(uint64_t anonymous, uint64_t objects, uint64_t cached)
{
	uint64_t mapped = 0, references = 0;

	for (uint64_t i = 0; i < frame_count; i++) {
		if (frame_table[i].kind == FRAME_ANON)
			mapped += frame_table[i].u.page.mapcount;
		else if (frame_table[i].kind == FRAME_OBJECT)
			references += at_load(&frame_table[i].refs);
	}
	if (mapped != anonymous)
		return "pages are mapped by entries that are in no space";
	return references == objects + cached ? NULL : "an object's page is kept by nobody";
}

/* => nothing else runs */
static const char *check_objects(uint64_t *cached)
{
	for (const struct quire_object *o = object_first(); o; o = o->next) {
		uint64_t pages = 0, dirty = 0;
		const char *wrong = cache_validate(&o->cache, &pages, &dirty);

		if (wrong)
			return wrong;
		if (at_load(&o->lock.word) || at_load(&o->io.state))
			return "an object is locked";
		*cached += pages;
	}
	return NULL;
}

static const char *check_everything(uint64_t anonymous, uint64_t objects)
{
	static struct slab *const slabs[] = { &vma_slab,    &tree_slab,	 &rmap_slab, &mapping_slab,
					      &object_slab, &cache_slab, &pages_slab };
	uint64_t cached = 0;
	const char *wrong = check_objects(&cached);

	if (!wrong)
		wrong = check_pages(anonymous, objects, cached);
	if (!wrong)
		wrong = frame_validate();
	for (size_t i = 0; i < sizeof(slabs) / sizeof(slabs[0]) && !wrong; i++)
		wrong = slab_validate(slabs[i]);
	return wrong;
}

const char *quire_validate(struct quire_mm *mm)
{
	const char *wrong = NULL;
	uint64_t anonymous = 0, objects = 0;

	section_enter();
	if (mm) {
		wrong = validate_mm(mm, &anonymous, &objects);
	} else {
		for (mm = space_first(); mm && !wrong; mm = mm->next)
			wrong = validate_mm(mm, &anonymous, &objects);
		if (!wrong)
			wrong = check_everything(anonymous, objects);
	}
	section_leave();
	return wrong;
}
