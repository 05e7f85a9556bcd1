/* SPDX-License-Identifier: MIT */
/*
 * Programs that are none, or broken: this very program, with one field changed, is started. What
 * Linux refuses with an error is to be refused with that error; of the rest it is enough that only
 * the new program dies. Started with "-run" it ends well.
 */
#include "tap.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

#define PROGRAM "/tmp/program"
#define RAN 42
#define REFUSED 100 /* + errno: execve returned */
#define ANYTHING (-1)
#define H(field) offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define P(field) offsetof(Elf64_Phdr, field), sizeof(((Elf64_Phdr *)0)->field)

static char *image, self[PATH_MAX];
static size_t image_size;

static void read_image(void)
{
	struct stat about;
	int file = open(self, O_RDONLY);

	need(file >= 0 && fstat(file, &about) == 0);
	image_size = (size_t)about.st_size;
	need((image = malloc(image_size)) && read(file, image, image_size) == about.st_size);
	close(file);
}

static void write_program(const void *bytes, size_t size)
{
	int file = open(PROGRAM, O_WRONLY | O_CREAT | O_TRUNC, 0700);

	need(file >= 0 && write(file, bytes, size) == (ssize_t)size && close(file) == 0);
}

/* Starts it; returns its exit code, REFUSED + errno, or -signal. */
static int start(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		alarm(5);
		close(1), close(2);
		execl(PROGRAM, PROGRAM, "-run", NULL);
		_exit(REFUSED + errno);
	}
	status = ended(child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int start_with(size_t at, size_t size, uint64_t value)
{
	char saved[8];

	memcpy(saved, image + at, size);
	memcpy(image + at, &value, size);
	write_program(image, image_size);
	memcpy(image + at, saved, size);
	return start();
}

static void headers(void)
{
	static const struct {
		const char *what;
		size_t at, size;
		uint64_t value;
		int expected;
	} rows[] = {
		{ "the magic number", 0, 1, 0x7e, REFUSED + ENOEXEC },
		{ "its end", 3, 1, 'G', REFUSED + ENOEXEC },
		{ "class", EI_CLASS, 1, ELFCLASS32, ANYTHING },
		{ "byte order", EI_DATA, 1, ELFDATA2MSB, ANYTHING },
		{ "no type", H(e_type), ET_NONE, REFUSED + ENOEXEC },
		{ "an object file", H(e_type), ET_REL, REFUSED + ENOEXEC },
		{ "a core file", H(e_type), ET_CORE, REFUSED + ENOEXEC },
		{ "another machine", H(e_machine), EM_AARCH64, REFUSED + ENOEXEC },
		{ "no machine", H(e_machine), EM_NONE, REFUSED + ENOEXEC },
		{ "the entry", H(e_entry), 0, -SIGSEGV },
		{ "the entry far away", H(e_entry), 1ul << 63, ANYTHING },
		{ "the program headers", H(e_phoff), 1ul << 62, REFUSED + ENOEXEC },
		{ "negative program headers", H(e_phoff), -64ul, REFUSED + ENOEXEC },
		{ "program headers beyond the end", H(e_phoff), 1 << 30, REFUSED + ENOEXEC },
		{ "size of a program header", H(e_phentsize), 32, REFUSED + ENOEXEC },
		{ "no program headers", H(e_phnum), 0, REFUSED + ENOEXEC },
		{ "too many program headers", H(e_phnum), 65535, REFUSED + ENOEXEC },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int result = start_with(rows[i].at, rows[i].size, rows[i].value);

		if (result == rows[i].expected || rows[i].expected == ANYTHING)
			continue;
		printf("# %s: %d, not %d\n", rows[i].what, result, rows[i].expected);
		tap_failures++;
	}
}

static size_t segment(unsigned type)
{
	const Elf64_Ehdr *head = (void *)image;

	for (size_t i = 0; i < head->e_phnum; i++) {
		size_t at = head->e_phoff + i * sizeof(Elf64_Phdr);

		if (((const Elf64_Phdr *)(void *)(image + at))->p_type == type)
			return at;
	}
	need(false);
	return 0;
}

/* A segment that is wrong: an error, or the end of the new program, and never that it runs. */
static void segments(void)
{
	static const struct {
		const char *what;
		size_t at, size;
		uint64_t value;
		bool may_run;
	} rows[] = {
		{ "address of the kernel", P(p_vaddr), 0xffffffff80000000, false },
		{ "address that is none", P(p_vaddr), 0x8000000000000000, false },
		{ "highest address", P(p_vaddr), -4096ul, false },
		{ "no address", P(p_vaddr), 0, true },
		{ "odd address", P(p_vaddr), 0x400001, true },
		{ "size in memory", P(p_memsz), 1ul << 62, false },
		{ "larger in memory than all", P(p_memsz), 1ul << 47, false },
		{ "nothing in memory", P(p_memsz), 0, true },
		{ "size in the file", P(p_filesz), 1ul << 62, false },
		{ "negative size in the file", P(p_filesz), -1ul, false },
		{ "offset", P(p_offset), 1ul << 62, false },
		{ "negative offset", P(p_offset), -4096ul, false },
		{ "odd offset", P(p_offset), 1, true },
		{ "alignment", P(p_align), 3, true },
		{ "huge alignment", P(p_align), 1ul << 63, true },
		{ "no rights", P(p_flags), 0, true },
		{ "not loaded", P(p_type), PT_NULL, true },
	};
	size_t at = segment(PT_LOAD);

	for (int second = 0; second < 2; second++, at += sizeof(Elf64_Phdr))
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			int result = start_with(at + rows[i].at, rows[i].size, rows[i].value);

			if (result != RAN || rows[i].may_run)
				continue;
			printf("# %s: it ran\n", rows[i].what);
			tap_failures++;
		}
}

static void interpreters(void)
{
	size_t at = segment(PT_NOTE);
	Elf64_Phdr *note = (void *)(image + at), saved = *note;
	char *name = image + image_size - 4096;

	note->p_type = PT_INTERP;
	note->p_offset = image_size - 4096;
	strcpy(name, "/nowhere");
	note->p_filesz = 9;
	check(start_with(0, 0, 0) == REFUSED + ENOENT);
	note->p_filesz = 8;
	check(start_with(0, 0, 0) == REFUSED + ENOEXEC);
	note->p_filesz = 1;
	check(start_with(0, 0, 0) == REFUSED + ENOEXEC);
	note->p_filesz = 1ul << 40;
	check(start_with(0, 0, 0) == REFUSED + ENOEXEC);
	note->p_filesz = 9;
	note->p_offset = 1ul << 40;
	check(start_with(0, 0, 0) != RAN);
	note->p_offset = image_size - 4096;
	strcpy(name, "/tmp");
	note->p_filesz = 5;
	check(start_with(0, 0, 0) != RAN);
	/* A file that is none. */
	int file = open("/tmp/text", O_WRONLY | O_CREAT | O_TRUNC, 0700);
	need(file >= 0 && write(file, "text", 4) == 4 && close(file) == 0);
	strcpy(name, "/tmp/text");
	note->p_filesz = 10;
	check(start_with(0, 0, 0) > REFUSED);
	unlink("/tmp/text");
	*note = saved;
	check(start_with(0, 0, 0) == RAN);
}

static void short_files(void)
{
	static const size_t sizes[] = { 0, 1, 4, 16, 63, 64, 100, 120 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		write_program(image, sizes[i]);
		check(start() == REFUSED + ENOEXEC);
	}
	/* Its headers are there, and not what they tell of: an error, or it dies. */
	for (size_t size = 1024; size < image_size / 2; size *= 3) {
		write_program(image, size);
		check(start() != RAN);
	}
}

static void scripts(void)
{
	char text[PATH_MAX + 32];

	write_program("just text", 9);
	check(start() == REFUSED + ENOEXEC);
	write_program("#!", 2);
	check(start() > REFUSED);
	write_program("#!   \n", 6);
	check(start() == REFUSED + ENOEXEC);
	write_program("#!/nowhere\n", 11);
	check(start() == REFUSED + ENOENT);
	write_program("#!" PROGRAM "\n", 3 + strlen(PROGRAM));
	check(start() == REFUSED + ELOOP);
	memset(text, 'x', sizeof(text));
	memcpy(text, "#!/", 3);
	write_program(text, sizeof(text));
	check(start() > REFUSED);
	/* The interpreter gets its one argument, the script's name, and the rest. */
	write_program(text, (size_t)snprintf(text, sizeof(text), "#! %s -script \n", self));
	check(start() == RAN);
}

static void random_damage(void)
{
	size_t heads = 64 + 6 * sizeof(Elf64_Phdr);
	unsigned long state = 12345;

	for (int i = 0; i < 60; i++) {
		char saved[64 + 16 * sizeof(Elf64_Phdr)];

		memcpy(saved, image, heads);
		for (int j = 0; j < 1 + i % 4; j++) {
			state = state * 6364136223846793005 + 1442695040888963407;
			image[4 + (state >> 33) % (heads - 4)] = (char)(state >> 25);
		}
		/* Whatever came of it: this process is alive, and a good program still starts. */
		start_with(0, 0, 0);
		memcpy(image, saved, heads);
	}
	check(start_with(0, 0, 0) == RAN);
	unlink(PROGRAM);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(headers),	   CASE(segments), CASE(interpreters),
		CASE(short_files), CASE(scripts),  CASE(random_damage),
	};

	if (argc > 1 && strcmp(argv[1], "-run") == 0)
		return RAN;
	if (argc > 1 && strcmp(argv[1], "-script") == 0)
		return argc == 4 && !strcmp(argv[2], PROGRAM) && !strcmp(argv[3], "-run") ? RAN : 1;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		snprintf(self, sizeof(self), "%s", argv[0]);
	read_image();
	return tap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
