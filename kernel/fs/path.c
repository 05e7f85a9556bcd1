/* SPDX-License-Identifier: MIT */
/*
 * Walking a path, component by component, without recursion:
 *
 *     /a/link/b        frames:  [ "b"            ]   what is left behind the link
 *        └► "../c/d"            [ "/c/d"  (link) ]   the link's text, which the link keeps alive
 *
 * A link at the very end of a frame takes the frame's place. So a component is the path's last one
 * if there is one frame and nothing is left in it.
 */
#include "fs/path.h"

#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

struct frame {
	const char *rest;
	struct inode *link; /* whose text it is; NULL: the caller's */
};

struct walk {
	struct inode *at; /* counted */
	unsigned flags, links, depth;
	struct path *path;
	struct frame frames[LINKS_MOST + 1];
};

static struct frame *top_of(struct walk *walk)
{
	return &walk->frames[walk->depth];
}

static void move_to(struct walk *walk, struct inode *inode)
{
	inode_put(walk->at);
	walk->at = inode;
}

static int find_child(struct inode *directory, const char *name, size_t length, struct path *path,
		      struct inode **child)
{
	struct entry *entry = tree_find(directory, name, length);

	path->entry = entry;
	*child = NULL;
	if (entry) {
		*child = entry->inode;
		inode_hold(*child);
		return 0;
	}
	if (directory->dynamic)
		return directory->dynamic->lookup(directory, name, length, child);
	return -ENOENT;
}

/* Go on in the text of a link. Takes over the reference to it. */
static int enter_link(struct walk *walk, struct inode *link)
{
	struct frame *frame = top_of(walk);

	if (++walk->links > LINKS_MOST) {
		inode_put(link);
		return -ELOOP;
	}
	if (link->target) {
		inode_hold(link->target);
		move_to(walk, link->target);
		inode_put(link);
		return 0;
	}
	if (*frame->rest)
		frame = &walk->frames[++walk->depth];
	else
		inode_put(frame->link);
	*frame = (struct frame){ link->link, link };
	if (link->link[0] == '/') {
		inode_hold(fs_root);
		move_to(walk, fs_root);
	}
	return link->link[0] ? 0 : -ENOENT;
}

/* "." or "..": 1 if it was one of them. */
static bool step_dots(struct walk *walk, const char *name, size_t length)
{
	if (length == 1 && name[0] == '.') {
		walk->path->end = END_DOT;
		return true;
	}
	if (length == 2 && name[0] == '.' && name[1] == '.') {
		struct inode *parent = walk->at->parent ? walk->at->parent : walk->at;

		inode_hold(parent);
		move_to(walk, parent);
		walk->path->end = END_DOTDOT;
		return true;
	}
	return false;
}

/* The last component: a name. 0: the walk is over; 1: it goes on in a link. */
static int step_last(struct walk *walk, const char *name, size_t length)
{
	struct path *path = walk->path;
	struct inode *child;
	int error = find_child(walk->at, name, length, path, &child);

	if (error && (error != -ENOENT || walk->flags & PATH_EXISTING))
		return error;
	if (child && is_link(child) &&
	    (walk->flags & PATH_FOLLOW || (path->slash && !(walk->flags & PATH_NAME)))) {
		error = enter_link(walk, child);
		path->end = END_ROOT;
		return error ? error : 1;
	}
	if (child && path->slash && !is_directory(child) && !(walk->flags & PATH_NAME)) {
		inode_put(child);
		return -ENOTDIR;
	}
	memcpy(path->name, name, length);
	path->name[length] = 0;
	path->length = length;
	path->end = END_NAME;
	path->parent = walk->at;
	walk->at = NULL;
	path->inode = child;
	return 0;
}

static int step_through(struct walk *walk, const char *name, size_t length)
{
	struct inode *child;
	int error = find_child(walk->at, name, length, walk->path, &child);

	if (error)
		return error;
	if (is_link(child))
		return enter_link(walk, child);
	move_to(walk, child);
	return 0;
}

/* The end of all frames without a name: the root, ".", "..", a link of /proc that led here. */
static int end_here(struct walk *walk)
{
	if (walk->path->slash && !is_directory(walk->at))
		return -ENOTDIR;
	walk->path->entry = NULL;
	walk->path->inode = walk->at;
	walk->at = NULL;
	return 0;
}

/* 1: go on; 0: the path is found. */
static int step(struct walk *walk)
{
	struct frame *frame = top_of(walk);
	const char *name = frame->rest, *end;
	size_t length;
	int error;

	while (*name == '/')
		name++;
	if (!*name) {
		if (walk->depth == 0)
			return end_here(walk);
		inode_put(frame->link);
		walk->depth--;
		return 1;
	}
	if (!is_directory(walk->at))
		return -ENOTDIR;
	end = strchr(name, '/');
	length = end ? (size_t)(end - name) : strlen(name);
	if (length > NAME_LONGEST)
		return -ENAMETOOLONG;
	frame->rest = name + length;
	while (*frame->rest == '/')
		frame->rest++;
	if (!*frame->rest && walk->depth == 0)
		walk->path->slash |= end != NULL;
	if (step_dots(walk, name, length))
		return 1;
	if (!*frame->rest && walk->depth == 0)
		return step_last(walk, name, length);
	error = step_through(walk, name, length);
	return error ? error : 1;
}

/* Where a path that does not begin at the root does. */
static int find_base(int descriptor, struct inode **base)
{
	if (descriptor != AT_FDCWD)
		return inode_of(descriptor, true, base);
	*base = context_directory();
	return 0;
}

int path_find(int descriptor, const char *text, unsigned flags, struct path *path)
{
	struct walk walk = { .flags = flags, .path = path };
	int result = 0;

	path->parent = path->inode = NULL;
	path->entry = NULL;
	path->end = END_ROOT;
	path->slash = false;
	if (!*text && !(flags & PATH_EMPTY))
		return -ENOENT;
	if (*text == '/') {
		walk.at = fs_root;
		inode_hold(fs_root);
	} else {
		result = find_base(descriptor, &walk.at);
	}
	walk.frames[0].rest = text;
	if (result == 0 && *text && !is_directory(walk.at))
		result = -ENOTDIR;
	if (result == 0)
		do
			result = step(&walk);
		while (result == 1);
	for (unsigned i = 0; i <= walk.depth; i++)
		inode_put(walk.frames[i].link);
	inode_put(walk.at);
	return result;
}

void path_done(struct path *path)
{
	inode_put(path->parent);
	inode_put(path->inode);
}

int path_from_user(uint64_t address, char **text)
{
	char *buffer = heap_alloc(PATH_ROOM);
	int64_t length;

	*text = NULL;
	if (!buffer)
		return -ENOMEM;
	length = user_string(buffer, address, PATH_ROOM);
	if (length < 0) {
		heap_free(buffer);
		return (int)length;
	}
	*text = buffer;
	return 0;
}

int inode_from_user(int descriptor, uint64_t address, unsigned flags, struct inode **inode)
{
	struct path path;
	char *text;
	int error = path_from_user(address, &text);

	if (error)
		return error;
	mutex_take(&fs_lock);
	error = path_find(descriptor, text, flags | PATH_EXISTING, &path);
	if (!error) {
		*inode = path.inode;
		inode_hold(*inode);
		path_done(&path);
	}
	mutex_drop(&fs_lock);
	heap_free(text);
	return error;
}

int inode_at(int descriptor, uint64_t address, unsigned flags, struct inode **inode)
{
	unsigned how = flags & AT_SYMLINK_NOFOLLOW ? 0 : PATH_FOLLOW;

	if (flags & AT_EMPTY_PATH)
		how |= PATH_EMPTY;
	return inode_from_user(descriptor, address, how, inode);
}

int inode_of(int descriptor, bool o_path, struct inode **inode)
{
	struct file *file = file_get(descriptor);
	int error = 0;

	if (!file)
		return -EBADF;
	if (file->flags & O_PATH && !o_path) {
		error = -EBADF;
	} else {
		*inode = file->inode;
		inode_hold(*inode);
	}
	file_put(file);
	return error;
}
