/* getppid_loop N OUT: N getppid(2) calls, the cheapest system call there is; the loop's wall time. */
#include "bench.h"

int main(int argc, char **argv)
{
	long count, i;
	long long begin, end;
	FILE *out;

	usage(argc, 3, "getppid_loop N OUT");
	count = number(argc, argv, 1, 0);
	out = result(argv[2]);
	begin = now(CLOCK_MONOTONIC);
	for (i = 0; i < count; i++)
		syscall(SYS_getppid);
	end = now(CLOCK_MONOTONIC);
	fprintf(out, "{\"ns\": %lld, \"n\": %ld}\n", end - begin, count);
	finish(out);
	return 0;
}
