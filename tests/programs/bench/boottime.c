/* boottime OUT: the moment at which this program runs, on the boot-time clock. */
#include "bench.h"

int main(int argc, char **argv)
{
	long long at = now(CLOCK_BOOTTIME);
	FILE *out;

	usage(argc, 2, "boottime OUT");
	out = result(argv[1]);
	fprintf(out, "{\"at_ns\": %lld}\n", at);
	finish(out);
	return 0;
}
