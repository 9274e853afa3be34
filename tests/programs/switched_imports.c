/*
 * Looks like an interpreter, and leaves its stack for another one within an import, as greenlets do: an import of the
 * other one begins and ends before the first one goes on and returns: "second", 20 ms of some 60 of "first". It tells
 * how long each took.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* By this an interpreter's version is known. */
const char *const home = "/usr/lib/python3.11";

/* A str of that version. */
struct name {
	char header[48];
	char text[16];
};

static ucontext_t main_context, other_context;
static char other_stack[256 << 10];

static void wait_ms(long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

int Py_BytesMain(int argc, char **argv)
{
	return argc && argv ? 0 : 1;
}

__attribute__((noinline)) void *PyImport_ImportModuleLevelObject(struct name *name, void *globals, void *locals,
								 void *from, int level)
{
	(void)globals, (void)locals, (void)from, (void)level;
	switch (name->text[0]) {
	case 'f':
		wait_ms(30);
		swapcontext(&other_context, &main_context);
		wait_ms(10);
		break;
	case 's':
		wait_ms(20);
		break;
	default:
		wait_ms(15);
	}
	return name;
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static long long import(const char *text)
{
	struct name name = {};
	long long began = now_ns();

	snprintf(name.text, sizeof(name.text), "%s", text);
	if (PyImport_ImportModuleLevelObject(&name, NULL, NULL, NULL, 0) != &name)
		abort();
	return now_ns() - began;
}

static long long first;

static void other(void)
{
	first = import("first");
}

int main(void)
{
	long long second, third;

	getcontext(&other_context);
	other_context.uc_stack.ss_sp = other_stack;
	other_context.uc_stack.ss_size = sizeof(other_stack);
	other_context.uc_link = &main_context;
	makecontext(&other_context, other, 0);
	swapcontext(&main_context, &other_context);
	second = import("second");
	swapcontext(&main_context, &other_context);
	third = import("third");
	printf("{\"self\": %d, \"home\": \"%s\", \"first\": %lld, \"second\": %lld, \"third\": %lld}\n",
	       getpid(), home, first, second, third);
	return 0;
}
