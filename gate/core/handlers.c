/* SPDX-License-Identifier: Apache-2.0 */
/* The host's dispositions (handlers.h), and taking over those that were there before us. */
#include "handlers.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keys.h"

#define KERNEL_MASK_BYTES 8
/* What the kernel shall do itself. SA_RESETHAND, SA_NODEFER and the mask are ours to carry out. */
#define FLAGS_OF_KERNEL ((uint64_t)(SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT))

static bool is_six(int sig)
{
	return (SIGNALS_SIX & SIGNAL_BIT(sig)) != 0;
}

static bool has_handler(const struct host_action *action)
{
	return action->handler != SIG_DFL && action->handler != SIG_IGN;
}

void handlers_get(const struct handler_table *table, int sig, struct host_action *out)
{
	const struct handler_entry *entry = &table->entry[sig];
	uint64_t turn;

	do {
		const struct handler_slot *slot;

		turn = atomic_load_explicit(&entry->turn, memory_order_acquire);
		slot = &entry->slot[turn & 1];
		out->handler = atomic_load_explicit(&slot->handler, memory_order_acquire);
		out->flags = atomic_load_explicit(&slot->flags, memory_order_acquire);
		out->mask = atomic_load_explicit(&slot->mask, memory_order_acquire);
		/* Two writes later the slot that was read is written again. */
	} while (atomic_load_explicit(&entry->turn, memory_order_relaxed) != turn);
}

void handlers_put(struct handler_table *table, int sig, const struct host_action *in)
{
	struct handler_entry *entry = &table->entry[sig];
	uint64_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
	struct handler_slot *slot = &entry->slot[(turn + 1) & 1];

	atomic_store_explicit(&slot->handler, in->handler, memory_order_release);
	atomic_store_explicit(&slot->flags, in->flags, memory_order_release);
	atomic_store_explicit(&slot->mask, in->mask, memory_order_release);
	atomic_store_explicit(&entry->turn, turn + 1, memory_order_release);
}

struct kernel_sigaction handlers_for_kernel(int sig, const struct host_action *action)
{
	struct kernel_sigaction kernel = {.handler = action->handler,
					  .flags = action->flags | SA_RESTORER,
					  .restorer = lych_restorer,
					  .mask = action->mask};

	if (has_handler(action) || is_six(sig) || sig == SIGNAL_KICK) {
		kernel.handler = ROOT.backend == LYCH_PKU ? (void (*)(int))(void (*)(void))lych_signal_entry_pku
							  : (void (*)(int))(void (*)(void))lych_signal_entry_soft;
		kernel.flags = (action->flags & FLAGS_OF_KERNEL) | SA_SIGINFO | SA_ONSTACK | SA_RESTORER;
		kernel.mask = ~0ull;
	}
	if (sig == SIGNAL_KICK) {
		kernel.flags |= SA_RESTART; /* nobody shall notice a kick */
	}
	return kernel;
}

uint64_t handlers_mask(const struct host_action *action, int sig, uint64_t interrupted, uint64_t *wanted)
{
	*wanted = interrupted | action->mask;
	if ((action->flags & SA_NODEFER) == 0) {
		*wanted |= SIGNAL_BIT(sig);
	}
	return *wanted & ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK);
}

static void block_all(uint64_t *old)
{
	uint64_t all = ~0ull;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, KERNEL_MASK_BYTES);
}

static void unblock(const uint64_t *old)
{
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, KERNEL_MASK_BYTES);
}

static void lock(struct handler_table *table)
{
	uint32_t free = 0;

	while (!atomic_compare_exchange_weak_explicit(&table->lock, &free, 1, memory_order_acquire,
						      memory_order_relaxed)) {
		free = 0;
		sys0(SYS_sched_yield);
	}
}

static void unlock(struct handler_table *table)
{
	atomic_store_explicit(&table->lock, 0, memory_order_release);
}

static long to_kernel(int sig, const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	return sys4(SYS_rt_sigaction, sig, new, old, KERNEL_MASK_BYTES);
}

/*
 * The copy for threads without rights to monitor memory lies in ordinary memory, which some domains can write. So it
 * is never writable where it is read: a new page replaces it.
 */
static int publish(const struct handler_table *table)
{
	size_t bytes = LYCH_PAGE;
	struct host_action *page;
	long at = sys6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	_Static_assert((SIGNAL_LAST + 1) * sizeof(struct host_action) <= LYCH_PAGE, "one page");
	if (at < 0 && at > -LYCH_PAGE) {
		return -ENOMEM;
	}
	page = (struct host_action *)at;
	for (int sig = 1; sig <= SIGNAL_LAST; sig++) {
		handlers_get(table, sig, &page[sig]);
	}
	if (sys3(SYS_mprotect, at, bytes, PROT_READ) != 0) {
		sys2(SYS_munmap, at, bytes);
		return -ENOMEM;
	}
	if (ROOT.handlers_seen == NULL) {
		ROOT.handlers_seen = page; /* lych_init: the root page is still writable */
		return 0;
	}
	long moved = sys5(SYS_mremap, at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, ROOT.handlers_seen);
	if (moved < 0 && moved > -LYCH_PAGE) {
		sys2(SYS_munmap, at, bytes);
		return -ENOMEM;
	}
	return 0;
}

/* The kernel resets a signal on its own when a thread that is not attached had SA_RESETHAND to carry out. */
static bool reset_in_kernel(int sig, const struct host_action *action)
{
	struct kernel_sigaction kernel;

	return has_handler(action) && (action->flags & SA_RESETHAND) != 0 && !is_six(sig) && sig != SIGNAL_KICK &&
	       to_kernel(sig, NULL, &kernel) == 0 && kernel.handler == SIG_DFL;
}

int handlers_action(int sig, const struct host_action *new, struct host_action *old)
{
	struct handler_table *table = ROOT.monitor->handlers;
	struct host_action was;
	uint64_t mask;
	int rc = 0;

	if (sig < 1 || sig > SIGNAL_LAST || (new != NULL && (sig == SIGKILL || sig == SIGSTOP))) {
		return -EINVAL;
	}
	block_all(&mask);
	lock(table);
	handlers_get(table, sig, &was);
	if (reset_in_kernel(sig, &was)) {
		was.handler = SIG_DFL;
	}
	if (new != NULL) {
		struct kernel_sigaction kernel = handlers_for_kernel(sig, new);

		/* While both change, a signal finds either handler or a default that deliver() carries out. */
		handlers_put(table, sig, new);
		rc = publish(table);
		if (rc == 0) {
			rc = (int)to_kernel(sig, &kernel, NULL);
		}
		if (rc != 0) {
			handlers_put(table, sig, &was);
		}
	}
	unlock(table);
	unblock(&mask);
	if (rc == 0 && old != NULL) {
		*old = was;
	}
	return rc;
}

void handlers_reset(int sig, void (*handler)(int))
{
	struct host_action now;
	struct host_action none = {.handler = SIG_DFL};

	handlers_get(ROOT.monitor->handlers, sig, &now);
	if (now.handler == handler) {
		none.flags = now.flags & ~(uint64_t)SA_SIGINFO;
		none.mask = now.mask;
		handlers_action(sig, &none, NULL);
	}
}

void handlers_default_in_kernel(int sig)
{
	struct kernel_sigaction kernel = {.handler = SIG_DFL, .flags = SA_RESTORER, .restorer = lych_restorer};

	to_kernel(sig, &kernel, NULL);
}

static void *nothing(void *unused)
{
	return unused;
}

static void *wait_here(void *unused)
{
	pause();
	return unused;
}

/* glibc installs handlers of its own when the first thread is made, and at the first pthread_cancel, and behind the
 * back of sigaction: so let it, now. */
static int force_those_of_libc(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL) != 0) {
		return -ENOMEM;
	}
	pthread_join(thread, NULL);
	/* Without the unwinder pthread_cancel ends the process, whoever calls it: then nobody will. */
	if (dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL) == NULL) {
		return 0;
	}
	if (pthread_create(&thread, NULL, wait_here, NULL) != 0) {
		return -ENOMEM;
	}
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	return 0;
}

int handlers_start(void)
{
	struct handler_table *table = monitor_alloc(sizeof(*table));
	int rc;

	if (table == NULL) {
		return -ENOMEM;
	}
	rc = force_those_of_libc();
	if (rc != 0) {
		monitor_free(table, sizeof(*table));
		return rc;
	}
	for (int sig = 1; sig <= SIGNAL_LAST; sig++) {
		struct kernel_sigaction *before = &table->before[sig];

		if (to_kernel(sig, NULL, before) == 0) {
			struct host_action action = {.handler = before->handler,
						     .flags = before->flags & ~(uint64_t)SA_RESTORER,
						     .mask = before->mask};
			handlers_put(table, sig, &action);
		}
	}
	rc = publish(table);
	if (rc != 0) {
		monitor_free(table, sizeof(*table));
		return rc;
	}
	/* The one signal whose handler is always glibc's. */
	ROOT.restorer = (uint64_t)(uintptr_t)lych_restorer;
	if ((table->before[SIGNAL_KICK].flags & SA_RESTORER) != 0) {
		ROOT.restorer = (uint64_t)(uintptr_t)table->before[SIGNAL_KICK].restorer;
	}
	ROOT.monitor->handlers = table;
	for (int sig = 1; sig <= SIGNAL_LAST; sig++) {
		struct host_action action;
		struct kernel_sigaction kernel;

		handlers_get(table, sig, &action);
		kernel = handlers_for_kernel(sig, &action);
		if (kernel.handler != action.handler) {
			to_kernel(sig, &kernel, NULL);
		}
	}
	return 0;
}

void handlers_stop(void)
{
	struct handler_table *table = ROOT.monitor->handlers;

	if (table == NULL) {
		return;
	}
	for (int sig = 1; sig <= SIGNAL_LAST; sig++) {
		if (sig != SIGKILL && sig != SIGSTOP) {
			to_kernel(sig, &table->before[sig], NULL);
		}
	}
	ROOT.monitor->handlers = NULL;
	sys2(SYS_munmap, ROOT.handlers_seen, LYCH_PAGE);
	ROOT.handlers_seen = NULL;
	monitor_free(table, sizeof(*table));
}
