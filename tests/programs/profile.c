/* Spends 150 ms of CPU time in spin_inner called by spin_outer, and 50 ms in it called by spin_other. */
#include <time.h>

static volatile unsigned long sink;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

__attribute__((noinline)) void spin_inner(long ms)
{
	long begin = now_ms();

	do {
		for (int i = 0; i < 200000; i++)
			sink += i;
	} while (now_ms() - begin < ms);
}

__attribute__((noinline)) void spin_outer(void)
{
	spin_inner(150);
	sink++;
}

__attribute__((noinline)) void spin_other(void)
{
	spin_inner(50);
	sink++;
}

int main(void)
{
	spin_outer();
	spin_other();
	return 0;
}
