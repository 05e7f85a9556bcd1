/* SPDX-License-Identifier: MIT */
/*
 * Objects: what mappings show. An object has a size, a cache of its pages, which every space that
 * maps it shares, and operations that fetch pages and keep them. Kinds that come with Quire: files
 * over a store, shared memory, ranges of device memory; and an embedder's own pager.
 *
 *     mapping ──► object ──► cache: index ──► page          faults need only this
 *                   │
 *                   └──► operations: fault, page_mkwrite, writepages, ...
 *                          └──► (a file) a store: read, write, size of a range
 *
 * A fault enters a page of the cache speculatively. If the page is not there it leaves everything
 * but a reference to the object, has the page fetched, and starts again.
 *
 * Offsets and sizes are bytes, indices and counts are pages of QUIRE_PAGE_SIZE. Bytes between the
 * end of an object and the end of its last page read as zero and are not written back; what a
 * program stores there is lost at the latest when the object's size changes. Access to pages beyond
 * the end is QUIRE_FAULT_BUS.
 *
 * Errors are negative QUIRE_E* as in errno(3); a store's or pager's own errors are passed on (but
 * EFAULT as EIO).
 *
 * => every call: the CPU is online (quire/machine.h), no lock that a fault could need is held; "may
 *    sleep" says that it waits for operations or for other calls on the same object.
 */
#ifndef QUIRE_OBJECT_H
#define QUIRE_OBJECT_H

#include <quire/types.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

struct quire_object;

#define QUIRE_BATCH 32 /* pages that are read or written at a time, at most */

/*
 * Pages of an object that an operation is to fill or to save: the ticket of who waits for them.
 * Valid until the operation has returned something else than QUIRE_WAIT, or until
 * quire_pages_done.
 */
struct quire_pages {
	struct quire_object *object;
	uint64_t index;		  /* of the first page */
	unsigned count;		  /* 1 to QUIRE_BATCH */
	uint64_t length;	  /* bytes of them that belong to the object: to its end at most */
	void *bytes[QUIRE_BATCH]; /* of each page, where Quire (port_frame) reaches them */
	void *private_data;	  /* the operation's own */
};

/* What fault, page_mkwrite and writepages may return besides 0 and errors. */
#define QUIRE_WAIT 1

/*
 * What an object allows. Nothing is done speculatively that is not named here; what is left out
 * goes the classic way, with the range of the page locked.
 */
enum quire_object_caps {
	/* Pages in the cache may be entered by speculative faults. */
	QUIRE_CAN_FAULT = 1,
	/* A fault for reading may enter up to 16 resident neighbours with it. */
	QUIRE_CAN_MAP_AROUND = 2,
	/*
	 * page_mkwrite may be called by a speculative fault, inside a section: it must not sleep
	 * nor call Quire, and returns QUIRE_WAIT if it would have to: it is then called again where
	 * it may.
	 */
	QUIRE_CAN_MKWRITE = 4,
	/* A page must not change while it is written: who wants to write to it waits. */
	QUIRE_STABLE_WRITES = 8,
};

/*
 * What a mapping of an object is. `shared`, `prot`: as mapped; later mprotects are not told.
 */
struct quire_mapping_info {
	struct quire_mm *mm;
	uint64_t start, length; /* addresses */
	uint64_t offset;	/* in the object */
	bool shared;
	int prot;
};

/*
 * The operations of an object, each may be NULL. Unless it says otherwise an operation is called
 * with nothing held, on a CPU that is offline: it may sleep, and it may call Quire between
 * quire_cpu_online and quire_cpu_offline, but must not touch memory that this object backs.
 * Several CPUs may be in the same operation at once.
 */
struct quire_object_ops {
	/*
	 * Give the contents of all these pages, which are zero and which nobody else sees yet: any
	 * of them may be the one that is accessed, the others are read beside it. 0: done.
	 * QUIRE_WAIT: quire_pages_done will be called, by any thread. An error, of all: if they are
	 * several, the accessed one is asked for once more alone; else the access gets SIGBUS
	 * (-QUIRE_ENOMEM: out of memory), and the next access asks anew. NULL: pages are zero at
	 * first.
	 */
	int (*fault)(struct quire_object *object, struct quire_pages *pages);
	/*
	 * The clean page at `index` is about to be written, through a shared mapping (if there is a
	 * writepages) or by quire_object_write. 0: it may be. QUIRE_WAIT: not now, ask again (see
	 * QUIRE_CAN_MKWRITE; where it may sleep, it does that instead). An error: SIGBUS
	 * (-QUIRE_ENOMEM: out of memory). NULL: it may be.
	 */
	int (*page_mkwrite)(struct quire_object *object, uint64_t index);
	/*
	 * Save the contents of these pages, of `length` bytes. 0: done. QUIRE_WAIT:
	 * quire_pages_done will be called. An error: the pages stay dirty, and the next sync of the
	 * object reports it. NULL: the cache is where the contents are: pages are never clean and
	 * never reclaimed, and shared mappings are not write-protected to learn of writes.
	 */
	int (*writepages)(struct quire_object *object, struct quire_pages *pages);
	/*
	 * All that a sync has to write has been written: make it last. Its error is the sync's.
	 * NULL: it does.
	 */
	int (*sync)(struct quire_object *object);
	/*
	 * The object is about to get this size; an error: it does not, and nothing has changed.
	 * Never while something is being written, QUIRE_WAIT included. NULL: it may; then what was
	 * cut off is fetched again when the object grows, unless its keeper forgets it.
	 */
	int (*truncate)(struct quire_object *object, uint64_t size);
	/*
	 * These bytes, whole pages, are about to become a hole, which reads as zero. As truncate.
	 * NULL: -QUIRE_EOPNOTSUPP; but where fault and writepages are NULL nothing is needed.
	 */
	int (*remove)(struct quire_object *object, uint64_t offset, uint64_t length);
	/*
	 * These pages have left the cache (by truncation, invalidation, removal, reclaim, or the
	 * end of the object), and no mapping shows them any more. Must not call Quire on this
	 * object.
	 */
	void (*invalidate)(struct quire_object *object, uint64_t index, uint64_t count);
	/*
	 * A mapping of the object comes and goes: by mmap, by fork, by a mremap that moves it.
	 * Splitting and merging is not told. An error of open makes that call fail with it.
	 * => called under spin locks: must not sleep nor call Quire
	 */
	int (*open)(struct quire_object *object, const struct quire_mapping_info *info);
	void (*close)(struct quire_object *object, struct quire_mm *mm);
	/*
	 * May a mapping be split at this offset (a multiple of the page)? False: the call that
	 * would split it fails with -QUIRE_EINVAL. NULL: anywhere.
	 * => as open
	 */
	bool (*may_split)(struct quire_object *object, uint64_t offset);
	/*
	 * Nobody has the object any more and its dirty pages have been written. `private_data` may
	 * be freed.
	 */
	void (*release)(struct quire_object *object);
};

struct quire_object_config {
	const struct quire_object_ops *ops; /* constant while the object lives; NULL: none */
	unsigned caps;			    /* enum quire_object_caps */
	uint64_t size;			    /* bytes, at most QUIRE_OBJECT_MAX */
	void *private_data;		    /* quire_object_private */
	/* For quire_mm_maps; the string is copied, up to QUIRE_NAME_MAX - 1 bytes. NULL: none. */
	const char *name;
	unsigned device_major, device_minor;
	uint64_t inode;
};

#define QUIRE_OBJECT_MAX (1ull << 55)
#define QUIRE_NAME_MAX 128

/*
 * An embedder's own kind of object; the caller has one reference. Returns 0, -QUIRE_EINVAL (size,
 * unknown caps, writepages without fault) or -QUIRE_ENOMEM. Does not block.
 */
int quire_object_create(const struct quire_object_config *config, struct quire_object **out);
/* One more reference. Does not block. => the caller has one. */
void quire_object_get(struct quire_object *object);
/*
 * Give a reference back. Mappings have their own. With the last one dirty pages are written, the
 * cache is freed, and `release` is called: by this call, or at the end of one that unmaps (that of
 * the last mapping, or one that was made at the same time). May sleep; so a thread on which
 * requests wait for quire_pages_done must not unmap objects, nor run out of memory, before it has
 * answered. What can't be written then is lost: sync before, to know.
 */
void quire_object_put(struct quire_object *object);
/* What the config said. Does not block. */
void *quire_object_private(const struct quire_object *object);
/* Bytes, as of now. Does not block. */
uint64_t quire_object_size(const struct quire_object *object);

/*
 * For an operation that has returned QUIRE_WAIT for these pages: they are done (0), or failed
 * (error). Called once, by any thread, possibly before the operation has returned; the CPU is
 * online. Does not block.
 */
void quire_pages_done(struct quire_pages *pages, int error);

/*
 * Another size. What is cut off leaves every mapping, private copies included, before the call
 * returns; until then it may read as zero already. Returns 0; -QUIRE_EINVAL: too large; an error of
 * the operation `truncate`, and nothing has changed. May sleep.
 */
int quire_object_truncate(struct quire_object *object, uint64_t size);
/*
 * Forget the clean pages of the range: they leave the cache and every mapping (private copies
 * stay), and the next access fetches them anew. Returns 0, or -QUIRE_EBUSY: some were dirty, or
 * being read or written, and stay. May sleep.
 */
int quire_object_invalidate(struct quire_object *object, uint64_t offset, uint64_t length);
/*
 * Make a hole: the range reads as zero; private copies stay. Returns 0, -QUIRE_EINVAL (not whole
 * pages), -QUIRE_EOPNOTSUPP, or an error of the operation `remove`, and nothing has changed. May
 * sleep.
 */
int quire_object_remove(struct quire_object *object, uint64_t offset, uint64_t length);
/*
 * Write the dirty pages of the range and wait for all that are being written. Returns 0, or the
 * last error that a write of this object had since it was last reported: each is reported once, and
 * the pages stay dirty. May sleep.
 */
int quire_object_sync(struct quire_object *object, uint64_t offset, uint64_t length);
/* Begin to read the range into the cache, as far as it is inside the object. May sleep. */
void quire_object_readahead(struct quire_object *object, uint64_t offset, uint64_t length);

/*
 * read(2) and write(2) through the cache, coherent with mappings. `buffer` must not be memory that
 * this object backs. Return the bytes done, fewer at the end of the object (read); or, if none
 * were, an error. Writing beyond the end makes the object larger: then `truncate` is called first,
 * and the object stays that large, with zeroes, should the write fail later. -QUIRE_EINVAL: beyond
 * QUIRE_OBJECT_MAX. A write is atomic for nobody. May sleep.
 */
int64_t quire_object_read(struct quire_object *object, uint64_t offset, void *buffer,
			  uint64_t length);
int64_t quire_object_write(struct quire_object *object, uint64_t offset, const void *buffer,
			   uint64_t length);

/*
 * Free up to `pages` frames from the caches of all objects: clean pages that were not used of late;
 * dirty ones are written. Returns how many. Quire does so itself when memory is short. May sleep.
 */
uint64_t quire_reclaim(uint64_t pages);

struct quire_object_stats {
	uint64_t cached, dirty; /* pages in the cache, and dirty ones of them */
	uint64_t mappings;	/* records of where it is mapped */
	uint64_t read, written; /* pages fetched and saved so far */
	uint64_t reclaimed;	/* clean pages that left: reclaimed, invalidated, or by madvise */
	uint64_t errors;	/* failed reads and writes */
};
/* A snapshot: exact when nothing runs. Walks the cache. Does not block. */
void quire_object_stats(struct quire_object *object, struct quire_object_stats *stats);

/* --- files --- */

/* Where some bytes of a store go or come from. */
struct quire_buffer {
	void *bytes;
	uint64_t length;
};

/*
 * What a file is kept in: at most QUIRE_BATCH buffers a call, of a page each but perhaps the last.
 * They are called as an object's operations are: may sleep, and several CPUs may be in them at
 * once. But no two transfers that concern the same byte if one of them writes; and one alone is in
 * write, resize or remove. They return 0 or a negative error.
 */
struct quire_store_ops {
	/* Fill the buffers from `offset` on; bytes beyond the store's end are left as they are. */
	int (*read)(void *store, uint64_t offset, const struct quire_buffer *buffers,
		    unsigned count);
	/* NULL: read-only; then shared mappings can't be written. */
	int (*write)(void *store, uint64_t offset, const struct quire_buffer *buffers,
		     unsigned count);
	/* In bytes; asked for once, at the start. */
	int (*size)(void *store, uint64_t *size);
	int (*resize)(void *store, uint64_t size); /* NULL: -QUIRE_EINVAL */
	/* Make a hole, which reads as zero. NULL: -QUIRE_EOPNOTSUPP */
	int (*remove)(void *store, uint64_t offset, uint64_t length);
	/* What was written is to outlast a loss of power: at the end of a sync. NULL: it does. */
	int (*flush)(void *store);
	void (*close)(void *store); /* the file is gone; may be NULL */
};

/*
 * A file over a store, with every capability but QUIRE_STABLE_WRITES. `ops` is constant while the
 * file lives; its quire_object_private is Quire's own. `config` gives name and numbers only; NULL:
 * none. Returns 0, -QUIRE_EINVAL (no read or no size operation, or a size that is too large),
 * -QUIRE_ENOMEM, or an error of `size`; then `close` is not called. May sleep.
 */
int quire_file_create(const struct quire_store_ops *ops, void *store,
		      const struct quire_object_config *config, struct quire_object **out);
/*
 * A file over `size` bytes of the caller's memory, which stay the caller's; can't be resized. As
 * quire_file_create.
 */
int quire_memory_file_create(void *bytes, uint64_t size, bool writable,
			     const struct quire_object_config *config, struct quire_object **out);

/* --- shared memory and devices --- */

/*
 * Memory of `size` bytes that is zero at first and lives in the cache. `config` as for a file.
 * Returns 0, -QUIRE_EINVAL (too large) or -QUIRE_ENOMEM. Does not block.
 */
int quire_shared_create(uint64_t size, const struct quire_object_config *config,
			struct quire_object **out);
/*
 * A range of physical memory that is not Quire's to count, both page-aligned: its frames are never
 * referenced, copied nor freed. It can be mapped shared, and private if it is not writable. Returns
 * 0, -QUIRE_EINVAL (alignment, beyond 2^52, or memory that quire_init was given) or -QUIRE_ENOMEM.
 * Does not block.
 */
int quire_device_create(uint64_t physical, uint64_t size, const struct quire_object_config *config,
			struct quire_object **out);

/* --- mapping --- */

/*
 * mmap(2) of an object from `offset` on. max_prot is what the descriptor was opened for: without
 * PROT_WRITE a shared mapping can never be made writable (EACCES), without PROT_READ nothing can be
 * mapped (EACCES), without PROT_EXEC nothing can be made executable (EPERM; mprotect: EACCES).
 * Further errors: EINVAL (offset not page-aligned, MAP_GROWSDOWN, or a device mapped private and
 * writable), EBADF (object NULL), EOVERFLOW (the offset is too large), and what `open` says.
 * MAP_ANONYMOUS is ignored. May sleep.
 */
int64_t quire_mmap_object(struct quire_mm *mm, uint64_t address, uint64_t length, int prot,
			  int flags, struct quire_object *object, uint64_t offset, int max_prot);
/*
 * msync(2). An error of quire_object_sync ends the call: what comes behind is not written. May
 * sleep.
 */
int quire_msync(struct quire_mm *mm, uint64_t address, uint64_t length, int flags);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
