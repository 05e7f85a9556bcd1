/* SPDX-License-Identifier: MIT */
/*
 * The steps of a loop, as `conflicts --json` has recorded them, into what is simulated.
 *
 *     accesses to lines of its own ──► nanoseconds of work, at one rate for all: that of munmap and
 *                                      mmap, whose time is measured and whose accesses are counted
 *     what is measured beyond that ──► work before the first step (the walk, clearing the page)
 *     steps on other CPUs' lines   ──► one flush; before it what each further page costs
 *     a page's descriptor in a pool    left out: which frames meet there is chance
 */
#include "scale_builder.h"

#include <stdlib.h>
#include <string.h>

#define SPACE_LOCK "mm.lock"
#define VMA_LOCK "vma.readers"
#define FORKING "mm.forking"

/* --- finding --- */

static const struct json *find(const struct json *list, const char *key, const char *value,
			       const char *key2, const char *value2)
{
	for (const struct json *j = list ? list->first : NULL; j; j = j->next)
		if (strcmp(json_string(j, key), value) == 0 &&
		    (!key2 || strcmp(json_string(j, key2), value2) == 0))
			return j;
	return NULL;
}

const struct json *loop_of(const struct json *footprints, const char *loop, unsigned mode)
{
	return find(json_get(footprints, "loops"), "loop", loop, "mode", scale_modes[mode]);
}

const struct json *operation_of(const struct json *loop, const char *actor, const char *operation)
{
	return find(json_get(loop, actor), "operation", operation, NULL, NULL);
}

double accesses_of(const struct json *recorded)
{
	const struct json *steps = json_get(recorded, "steps");
	double sum = json_number(recorded, "work");

	for (const struct json *s = steps ? steps->first : NULL; s; s = s->next)
		sum += json_number(s, "work");
	return sum;
}

static const struct json *line_at(const struct builder *b, unsigned index)
{
	const struct json *line = b->lines->first;

	while (line && index-- > 0)
		line = line->next;
	return line;
}

/* --- places --- */

static int add_place(struct builder *b, enum place_kind kind)
{
	if (b->system->place_count == PLACES)
		return -1;
	b->system->places[b->system->place_count] = kind;
	return (int)b->system->place_count++;
}

static bool is_of(const struct json *line, const char *owner)
{
	return strcmp(json_string(line, "whose"), owner) == 0;
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* -1: not simulated. */
static int make_place(struct builder *b, const struct json *line)
{
	const char *name = json_string(line, "line");

	if (strcmp(name, "frame") == 0)
		return -1;
	if (is_of(line, "worker's"))
		return add_place(b, PLACE_WORKER);
	if (!is_of(line, "all") && !is_of(line, "workers'"))
		return -1;
	return add_place(b, starts_with(name, "pools") ? PLACE_SOCKET : PLACE_ONE);
}

/* A neighbour's line is what is another worker's own, if he has one. */
static int place_of_neighbour(const struct builder *b, const struct json *line)
{
	unsigned i = 0;

	for (const struct json *j = b->lines->first; j; j = j->next, i++)
		if (is_of(j, "worker's") &&
		    strcmp(json_string(j, "line"), json_string(line, "line")) == 0 &&
		    (int)json_number(j, "ordinal") == (int)json_number(line, "ordinal"))
			return b->places[i];
	return -1;
}

bool make_places(struct builder *b)
{
	unsigned i = 0;

	for (const struct json *line = b->lines->first; line; line = line->next, i++) {
		if (i == PLACES)
			return false;
		b->places[i] = make_place(b, line);
	}
	i = 0;
	for (const struct json *line = b->lines->first; line; line = line->next, i++)
		if (is_of(line, "neighbour's"))
			b->places[i] = place_of_neighbour(b, line);
	return b->system->place_count < PLACES;
}

/* The lock that a field is. A VMA's is that of the VMA of the moment, whichever it is. */
static int lock_of(struct builder *b, const char *field, int line)
{
	unsigned i = 0;

	if (strcmp(field, VMA_LOCK) == 0 || strcmp(field, FORKING) == 0)
		line = -1;
	while (i < b->lock_count &&
	       (strcmp(b->locks[i].field, field) != 0 || b->locks[i].line != line))
		i++;
	if (i == sizeof(b->locks) / sizeof(b->locks[0]))
		return -1;
	if (i == b->lock_count) {
		enum place_kind kind = line < 0 ? PLACE_ONE : b->system->places[line];

		snprintf(b->locks[i].field, sizeof(b->locks[i].field), "%s", field);
		b->locks[i].line = line;
		b->locks[i].place = add_place(b, kind);
		b->lock_count++;
	}
	return b->locks[i].place;
}

/* --- steps --- */

static bool add_step(struct builder *b, struct step step)
{
	struct sequence *s = b->sequence;
	struct step *longer = realloc(s->steps, (s->count + 1) * sizeof(*longer));

	if (!longer)
		return false;
	step.work = b->work;
	b->work = 0;
	s->steps = longer;
	s->steps[s->count++] = step;
	return true;
}

/* All other CPUs' lines in a row are one flush. */
static bool add_flush(struct builder *b)
{
	const struct sequence *s = b->sequence;

	if (s->count && s->steps[s->count - 1].kind == STEP_FLUSH)
		return true;
	if (b->with_bulk && !add_step(b, (struct step){ .kind = STEP_BULK, .lock = -1 }))
		return false;
	b->with_bulk = false;
	return add_step(b, (struct step){ .kind = STEP_FLUSH, .lock = -1 });
}

static enum step_kind kind_of(const char *step)
{
	static const struct {
		const char *name;
		enum step_kind kind;
	} kinds[] = {
		{ "read", STEP_READ },		 { "write", STEP_WRITE },
		{ "atomic", STEP_WRITE },	 { "lock", STEP_LOCK },
		{ "unlock", STEP_UNLOCK },	 { "lock-shared", STEP_LOCK_SHARED },
		{ "downgrade", STEP_DOWNGRADE },
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, step) == 0)
			return kinds[i].kind;
	return STEP_READ;
}

/* What the baselines' locks do that no single step shows. */
static void interpret(struct builder *b, const char *field, struct step *s)
{
	if (strcmp(field, VMA_LOCK) == 0 && s->kind == STEP_LOCK_SHARED)
		s->kind = STEP_TRY_SHARED;
	if (strcmp(field, FORKING) == 0) {
		if (!b->of_other)
			s->kind = STEP_CHECK;
		else
			s->kind = b->forking ? STEP_UNLOCK : STEP_LOCK;
		b->forking = b->of_other && !b->forking;
	}
}

static bool is_lock_step(const struct step *s)
{
	return s->kind != STEP_READ && s->kind != STEP_WRITE;
}

/* A VMA stays locked when it is replaced; who has seen that waits for the space's lock. */
static bool add_with_vma_lock(struct builder *b, const char *field, struct step *s)
{
	if (strcmp(field, SPACE_LOCK) == 0)
		b->system->space_lock = s->lock;
	if (strcmp(field, VMA_LOCK) == 0 && s->kind == STEP_LOCK) {
		b->vma_lock = s->lock;
		b->vma_step = *s;
		b->vma_step.kind = STEP_UNLOCK;
	}
	if (strcmp(field, SPACE_LOCK) == 0 && s->kind == STEP_UNLOCK && b->vma_lock >= 0) {
		b->vma_lock = -1;
		if (!add_step(b, b->vma_step))
			return false;
	}
	return add_step(b, *s);
}

static bool add_recorded(struct builder *b, const struct json *recorded)
{
	unsigned index = (unsigned)json_number(recorded, "line");
	const struct json *line = line_at(b, index);
	const char *field = json_string(recorded, "field");
	struct step s = { .kind = kind_of(json_string(recorded, "step")), .lock = -1 };

	b->work += json_number(recorded, "work") * b->rate;
	b->polls += is_of(line, "CPU's");
	if (is_of(line, "other CPU's"))
		return add_flush(b);
	if (index >= PLACES || b->places[index] < 0)
		return true;
	s.line = (unsigned)b->places[index];
	s.worker = is_of(line, "neighbour's") ? STEP_NEIGHBOUR : STEP_MINE;
	interpret(b, field, &s);
	if (is_lock_step(&s))
		s.lock = lock_of(b, field, b->places[index]);
	return add_with_vma_lock(b, field, &s);
}

static bool is_of_worker(const struct builder *b, const struct step *s)
{
	return s->kind != STEP_FLUSH && s->kind != STEP_BULK &&
	       b->system->places[s->line] == PLACE_WORKER;
}

/* What the other does to a worker's lines, it does to every worker's. */
static bool repeat_for_workers(struct builder *b)
{
	struct sequence once = *b->sequence;
	bool added = true;

	*b->sequence = (struct sequence){ .end = once.end, .poll = once.poll };
	for (unsigned i = 0, next; i < once.count && added; i = next) {
		unsigned times = 1;

		for (next = i + 1; is_of_worker(b, &once.steps[i]) && next < once.count &&
				   is_of_worker(b, &once.steps[next]);)
			next++;
		if (is_of_worker(b, &once.steps[i]))
			times = b->workers;
		for (unsigned w = 0; w < times; w++) {
			for (unsigned s = i; s < next && added; s++) {
				struct step step = once.steps[s];

				step.worker = (int)w;
				b->work = w && s == i ? 0 : step.work;
				added = add_step(b, step);
			}
		}
	}
	b->work = 0;
	free(once.steps);
	return added;
}

/* --- sequences and tasks --- */

/* `ahead`: nanoseconds before the first step. */
static bool make_sequence(struct builder *b, struct sequence *s, const struct json *recorded,
			  double ahead)
{
	const struct json *steps = json_get(recorded, "steps");
	bool made = true;

	*s = (struct sequence){ 0 };
	b->sequence = s;
	b->work = ahead;
	b->polls = 0;
	b->vma_lock = -1;
	b->forking = false;
	for (const struct json *j = steps ? steps->first : NULL; j && made; j = j->next)
		made = add_recorded(b, j);
	if (b->with_bulk && made)
		made = add_step(b, (struct step){ .kind = STEP_BULK, .lock = -1 });
	b->with_bulk = false;
	s->end = b->work + json_number(recorded, "work") * b->rate;
	s->poll = (ahead + accesses_of(recorded) * b->rate) / (b->polls ? b->polls : 1);
	return made && (!b->of_other || repeat_for_workers(b));
}

/* Of so many nanoseconds in peace. */
bool make_task(struct builder *b, struct task *task, const struct json *loop, const char *name,
	       double nanoseconds)
{
	const char *actor = b->of_other ? "other" : "workers";
	const struct json *recorded = operation_of(loop, actor, name);
	double explained = accesses_of(recorded) * b->rate, rate = b->rate;
	double ahead = nanoseconds > explained ? nanoseconds - explained : 0;
	bool made;

	if (!recorded) {
		fprintf(stderr, "scale_model: the footprints lack %s of %s\n", name,
			json_string(loop, "loop"));
		return false;
	}
	if (explained > nanoseconds)
		b->rate *= nanoseconds / explained;
	b->with_bulk = task->bulks > 0;
	made = make_sequence(b, &task->steady, recorded, ahead);
	if (made && json_get(recorded, "changed")) {
		b->with_bulk = task->bulks > 0;
		made = make_sequence(b, &task->changed, json_get(recorded, "changed"), ahead);
	}
	b->rate = rate;
	return made;
}

bool make_bulk(struct builder *b, struct task *task, const struct json *loop, double nanoseconds)
{
	struct task batch = { .repeat = 1 };
	bool made = make_task(b, &batch, loop, "free (stock full)", nanoseconds);

	task->bulk = batch.steady;
	task->bulk.poll = nanoseconds * LEAF_PAGES / PAGES_PER_BATCH;
	free(batch.changed.steps);
	return made;
}
