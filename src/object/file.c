/* SPDX-License-Identifier: MIT */
/*
 * Files: the operations of an object, by those of a store.
 *
 *     fault       read                truncate    resize
 *     writepages  write               remove      remove
 *     sync        flush               release     close
 *
 * What the object has beyond its end is neither read nor written: the pages of a request are cut at
 * its `length`. Nothing here locks: which pages are read and written when, and that no write meets
 * a change of the size, is the object's business.
 *
 * A file that can't be written has a `writepages` all the same, which refuses: without one the
 * cache would be where the contents live, and its pages could not be reclaimed. It is never called,
 * because page_mkwrite refuses before a page can become dirty.
 */
#include "object/kinds.h"
#include "sync/sleep.h"

struct slab file_slab;

uint32_t file_size(void)
{
	return sizeof(struct file);
}

static struct file *file_of(const struct quire_object *object)
{
	return quire_object_private(object);
}

/* The bytes of the request that belong to the file. Returns how many buffers that are. */
static unsigned buffers_of(const struct quire_pages *pages, struct quire_buffer *buffers)
{
	uint64_t left = pages->length;
	unsigned count = 0;

	for (; count < pages->count && left > 0; count++) {
		buffers[count].bytes = pages->bytes[count];
		buffers[count].length = left < PAGE_SIZE ? left : PAGE_SIZE;
		left -= buffers[count].length;
	}
	return count;
}

static int file_fault(struct quire_object *object, struct quire_pages *pages)
{
	struct quire_buffer buffers[QUIRE_BATCH];
	unsigned count = buffers_of(pages, buffers);
	struct file *file = file_of(object);

	return file->ops->read(file->store, pages->index << PAGE_SHIFT, buffers, count);
}

static int file_writepages(struct quire_object *object, struct quire_pages *pages)
{
	struct quire_buffer buffers[QUIRE_BATCH];
	unsigned count = buffers_of(pages, buffers);
	struct file *file = file_of(object);

	return file->ops->write(file->store, pages->index << PAGE_SHIFT, buffers, count);
}

static int file_truncate(struct quire_object *object, uint64_t size)
{
	struct file *file = file_of(object);

	return file->ops->resize ? file->ops->resize(file->store, size) : -QUIRE_EINVAL;
}

static int file_remove(struct quire_object *object, uint64_t offset, uint64_t length)
{
	struct file *file = file_of(object);

	if (!file->ops->remove)
		return -QUIRE_EOPNOTSUPP;
	return file->ops->remove(file->store, offset, length);
}

static int file_sync(struct quire_object *object)
{
	struct file *file = file_of(object);

	return file->ops->flush ? file->ops->flush(file->store) : 0;
}

static void file_free(struct file *file)
{
	port_pin();
	slab_free(&file_slab, file);
	port_unpin();
}

static void file_release(struct quire_object *object)
{
	struct file *file = file_of(object);

	if (file->ops->close)
		file->ops->close(file->store);
	file_free(file);
}

static int refuse_mkwrite(struct quire_object *object, uint64_t index)
{
	(void)object;
	(void)index;
	return -QUIRE_EACCES;
}

static int refuse_writepages(struct quire_object *object, struct quire_pages *pages)
{
	(void)object;
	(void)pages;
	return -QUIRE_EACCES;
}

static const struct quire_object_ops writable_ops = {
	.fault = file_fault,
	.writepages = file_writepages,
	.truncate = file_truncate,
	.remove = file_remove,
	.sync = file_sync,
	.release = file_release,
};

static const struct quire_object_ops read_only_ops = {
	.fault = file_fault,
	.page_mkwrite = refuse_mkwrite,
	.writepages = refuse_writepages,
	.truncate = file_truncate,
	.remove = file_remove,
	.sync = file_sync,
	.release = file_release,
};

static int ask_size(const struct file *file, uint64_t *size)
{
	struct away away = away_begin();
	int error = object_error(file->ops->size(file->store, size));

	away_end(away);
	return error;
}

struct file *file_new(const struct quire_store_ops *ops, void *store)
{
	struct file *file;

	port_pin();
	file = slab_alloc(&file_slab);
	port_unpin();
	if (file)
		*file = (struct file){ .ops = ops, .store = store };
	return file;
}

int file_begin(struct file *file, const struct quire_object_config *names,
	       struct quire_object **out)
{
	struct quire_object_config config = kind_config(names);
	int error = ask_size(file, &config.size);

	config.ops = file->ops->write ? &writable_ops : &read_only_ops;
	config.private_data = file;
	if (!error)
		error = quire_object_create(&config, out);
	if (error)
		file_free(file);
	return error;
}

int quire_file_create(const struct quire_store_ops *ops, void *store,
		      const struct quire_object_config *config, struct quire_object **out)
{
	struct file *file;

	if (!ops->read || !ops->size)
		return -QUIRE_EINVAL;
	file = file_new(ops, store);
	return file ? file_begin(file, config, out) : -QUIRE_ENOMEM;
}
