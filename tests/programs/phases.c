/* phases WHAT [SIZE]: spends time in one phase of a start, and says how long that was by its own clock.
 *   fork MIB      a child is forked by a process with so much memory, whose page tables are copied
 *   schedule MS   a child is forked that does not get the CPU for so long
 *   setup MS      a child sleeps before its exec
 *   exec MIB FILE a child with so much memory, which its exec gives back, executes FILE
 *   app MS        it sleeps itself
 *   plain         nothing: for the libraries of the other phases
 * Built with -DFIRST: what exec executes, a static program without a library, which says when it began.
 * With -DAUDIT: an auditor (rtld-audit(7)), which the loader asks for its version before it maps anything else, and which
 * sleeps 120 ms then: the phase load. With -DLINK: a library with a function that has to be chosen while the program is
 * linked, which takes 120 ms.
 * Prints {"self", "child", "ns", "main"}, the last the time when its main() began; an auditor {"ns"}, FIRST {"began"}. (The phase init: constructor.c.) */
#if defined(FIRST) || defined(LINK)

#include <sys/syscall.h>
#include <time.h>

/* No C library can be asked: there is none, or it need not be linked itself. */
static long call(long number, long a, long b, long c, long d)
{
	long result;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	result = x0;
#else
#error "how does this architecture call its kernel?"
#endif
	return result;
}

static long now(void)
{
	struct timespec t;

	call(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&t, 0, 0);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

#ifdef FIRST
void _start(void)
{
	char text[64] = "{\"began\": ", digits[24];
	int at = 10, n = 0;

	for (long ns = now(); ns; ns /= 10)
		digits[n++] = '0' + ns % 10;
	while (n)
		text[at++] = digits[--n];
	text[at++] = '}';
	text[at++] = '\n';
	call(SYS_write, 1, (long)text, at, 0);
	call(SYS_exit_group, 0, 0, 0, 0);
	__builtin_unreachable();
}
#else
/* Not found by name, which would need a relocation itself. */
static long took_ns;

long link_ns(void)
{
	return took_ns;
}

static int chosen(void)
{
	return 0;
}

static int (*choose(void))(void)
{
	struct timespec t = { 0, 120000000 };
	long begin = now();

	call(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, (long)&t, 0);
	took_ns += now() - begin;
	return chosen;
}

int late(void) __attribute__((ifunc("choose")));
#endif

#else

#include "starter.h"
#include <sched.h>
#include <sys/mman.h>

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#ifdef AUDIT
unsigned int la_version(unsigned int version)
{
	int64_t begin = now();

	sleep_ms(120);
	dprintf(1, "{\"ns\": %lld}\n", (long long)(now() - begin));
	return version;
}
#else

/* With -DNEEDS_LINK from that library. */
#ifdef NEEDS_LINK
long link_ns(void);
int late(void);
#else
static long link_ns(void)
{
	return 0;
}

static int late(void)
{
	return 0;
}
#endif

/* Page by page: the tables are what takes time. */
static void touch(size_t mib)
{
	char *memory = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, mib << 20, MADV_NOHUGEPAGE))
		die("mmap");
	for (size_t at = 0; at < mib << 20; at += 4096)
		memory[at] = 1;
}

static int64_t own_delay(void)
{
	char text[128];
	long long ran, delay;
	int fd = open("/proc/self/schedstat", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		die("schedstat");
	text[n] = 0;
	if (sscanf(text, "%lld %lld", &ran, &delay) != 2)
		die("schedstat");
	return delay;
}

/* No other than this process, while it does not sleep, has that CPU. */
static void take_a_cpu(void)
{
	struct sched_param one = { .sched_priority = 1 };
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) || sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &one))
		die("sched_setscheduler");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long size = number(argc, argv, 2, 120);
	volatile int64_t *ns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t main_ns = now(), begin = main_ns;
	pid_t child = 0;

	if (ns == MAP_FAILED)
		die("mmap");
	if (!strcmp(what, "plain")) {
		*ns = link_ns() + late();
	} else if (!strcmp(what, "fork")) {
		touch(size);
		/* What comes after the fork is no part of it. */
		take_a_cpu();
		begin = now();
		child = fork();
		if (child == 0)
			_exit(0);
		*ns = now() - begin;
	} else if (!strcmp(what, "schedule")) {
		take_a_cpu();
		child = fork();
		if (child == 0) {
			*ns = own_delay();
			_exit(0);
		}
		for (begin = now(); now() < begin + size * 1000000;)
			;
	} else if (!strcmp(what, "setup")) {
		child = fork();
		if (child == 0) {
			begin = now();
			sleep_ms(size);
			*ns = now() - begin;
			exec_true("late");
		}
	} else if (!strcmp(what, "exec") && argc > 3) {
		child = fork();
		if (child == 0) {
			touch(size);
			/* When that was: how long it takes is told by who comes after. */
			*ns = now();
			execl(argv[3], argv[3], (char *)NULL);
			die(argv[3]);
		}
	} else if (!strcmp(what, "app")) {
		sleep_ms(size);
		*ns = now() - begin;
	} else {
		dprintf(2, "phases: no phase %s\n", what);
		return 2;
	}
	if (child < 0)
		die("fork");
	if (child)
		reap_ok(child);
#ifdef AUDITED
	(void)main_ns;
#else
	printf("{\"self\": %d, \"child\": %d, \"ns\": %lld, \"main\": %lld}\n", getpid(), child, (long long)*ns, (long long)main_ns);
#endif
	return 0;
}
#endif
#endif
