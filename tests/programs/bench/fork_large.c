/* fork_large MIB N OUT: N forks of a process with MIB mebibytes resident in small pages, whose
 * children end at once. Only the time in fork(2) counts, not the children's. */
#include "bench.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t size;
	long count, i;
	long long spent = 0;
	char *memory;
	FILE *out;

	usage(argc, 4, "fork_large MIB N OUT");
	size = (size_t)number(argc, argv, 1, 0) << 20;
	count = number(argc, argv, 2, 0);
	out = result(argv[3]);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, size, MADV_NOHUGEPAGE);
	memset(memory, 1, size);
	for (i = 0; i < count; i++) {
		long long begin = now(CLOCK_MONOTONIC);
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0)
			_exit(0);
		spent += now(CLOCK_MONOTONIC) - begin;
		reap_ok(child);
	}
	fprintf(out, "{\"ns\": %lld, \"n\": %ld}\n", spent, count);
	finish(out);
	return 0;
}
