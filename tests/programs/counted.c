/* counted END THREADS PAGES FILE: a thread for each, touches so many pages in every thread, waits and runs for a while there,
 * reads a file from storage, and says what the kernel says that it has used; then ends its start as END says: `exit`, `kill` (by
 * a signal of its own), `mark` (@up to /proc/self/comm; then uses more), `pause` (rests for ever), `idle` (wakes every 40 ms),
 * `sleep` (for ever, which is no rest), `accept` (waits for clients), `exec` (once more, from a thread if there are any), `gone` (its threads end first).
 * Prints {"self", "minor", "major", "voluntary", "involuntary", "cpu_ns", "read_bytes", "rss_bytes", "threads"}, as of then. */
#include "starter.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

static pthread_barrier_t all;
static long pages;
static char **again;
static int gone;

static void use(void)
{
	char *memory = mmap(NULL, pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec begin, now;

	if (memory == MAP_FAILED || madvise(memory, pages << 12, MADV_NOHUGEPAGE))
		die("memory");
	for (long i = 0; i < pages; i++)
		memory[i << 12] = 1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000LL + now.tv_nsec - begin.tv_nsec < 2000000);
	for (int i = 0; i < 5; i++)
		usleep(50);
}

static void *one(void *unused)
{
	use();
	pthread_barrier_wait(&all);
	if (gone)
		return unused;
	/* Nothing of it is told any more. */
	if (again) {
		execv(again[0], again);
		die(again[0]);
	}
	for (;;)
		pause();
}

static long long value(const char *path, const char *key)
{
	char text[8192], *at;
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		die(path);
	close(fd);
	text[n] = 0;
	at = strstr(text, key);
	return at ? atoll(at + strlen(key)) : -1;
}

static void tell(void)
{
	long long read_bytes = value("/proc/self/io", "\nread_bytes: "), rss = value("/proc/self/status", "\nVmRSS:");
	long long threads = value("/proc/self/status", "\nThreads:");
	struct rusage used;
	char line[512];
	int n;

	getrusage(RUSAGE_SELF, &used);
	n = snprintf(line, sizeof(line),
		     "{\"self\": %d, \"minor\": %ld, \"major\": %ld, \"voluntary\": %ld, \"involuntary\": %ld, \"cpu_ns\": %lld, "
		     "\"read_bytes\": %lld, \"rss_bytes\": %lld, \"threads\": %lld}\n",
		     getpid(), used.ru_minflt, used.ru_majflt, used.ru_nvcsw, used.ru_nivcsw,
		     (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL +
			     (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL,
		     read_bytes, rss << 10, threads);
	if (write(1, line, n) != n)
		die("stdout");
}

int main(int argc, char **argv)
{
	const char *end = argc > 1 ? argv[1] : "exit";
	long threads = number(argc, argv, 2, 3);
	static char buffer[1 << 16];
	static char *last[] = { NULL, "exit", "0", "10", NULL };
	pthread_t thread;
	int fd;

	pages = number(argc, argv, 3, 500);
	gone = !strcmp(end, "gone");
	if (!strcmp(end, "exec")) {
		last[0] = argv[0];
		again = last;
	}
	pthread_barrier_init(&all, NULL, threads + 1);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread, NULL, one, NULL))
			die("pthread_create");
	use();
	fd = argc > 4 ? open(argv[4], O_RDONLY) : -1;
	if (argc > 4 && (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)))
		die(argv[4]);
	while (fd >= 0 && read(fd, buffer, sizeof(buffer)) > 0)
		;
	pthread_barrier_wait(&all);
	if (again && threads)
		for (;;)
			pause();
	/* They wait by then, or are no more. */
	while (gone && value("/proc/self/status", "\nThreads:") > 1)
		usleep(50);
	if (!gone)
		sleep_ms(2);
	if (again) {
		execv(again[0], again);
		die(again[0]);
	}
	tell();
	if (!strcmp(end, "kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(end, "mark")) {
		fd = open("/proc/self/comm", O_WRONLY);
		if (write(fd, "@up", 3) != 3)
			die("mark");
		sleep_ms(200);
		use();
	}
	if (!strcmp(end, "accept")) {
		struct sockaddr_in any = { .sin_family = AF_INET };

		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || bind(fd, (void *)&any, sizeof(any)) || listen(fd, 1))
			die("listen");
		accept(fd, NULL, NULL);
	}
	if (!strcmp(end, "pause"))
		pause();
	while (!strcmp(end, "idle"))
		sleep_ms(40);
	if (!strcmp(end, "sleep"))
		sleep_ms(100000);
	return 0;
}
