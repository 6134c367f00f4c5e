// SPDX-License-Identifier: Apache-2.0
// G2, G6: from a library domain into the middle of gates, with stack pointers of its choice; signals in the middle of its calls.
#include "library_attack.h"

#include <link.h>
#include <lychgate/note.h>
#include <lychgate/policy.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <random>

extern "C" {
long gates_callback(long a);
void hostile_jump(void *to, long rax, void *rdi, void *rsi, void *rsp);
void hostile_wild(void *rsp);
}
LYCH_CALLBACK(gates_callback, long, (long));
LYCH_SYM(domain, hostile_jump, void, (void *, long, void *, void *, void *));
LYCH_SYM(domain, hostile_wild, void, (void *));
LYCH_SYM(domain, hostile_land, void, (landing *));

static int called;

extern "C" long gates_callback(long a)
{
	called++;
	return a + 1;
}

namespace
{

class Gates : public LibraryAttack
{
};

void Still(World *w, const inside &before, int rc)
{
	inside after;

	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	EXPECT_EQ(*w->secret, PREY_SECRET);
	EXPECT_EQ(*w->other, PREY_SECRET);
	ASSERT_EQ(memcmp(w->secret + 1, w->other + 1, 4088), 0);
	EXPECT_TRUE(rc == 0 || rc == -EFAULT || rc == -ECANCELED || rc == -ETIMEDOUT) << rc;
	if (rc != 0) {
		ASSERT_EQ(lych_domain_reset(w->domain), 0) << lych_why();
		ASSERT_TRUE(w->Arm());
	}
}

TEST_F(Gates, AreOfNoUseToWhoJumpsIntoThem)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		lych_domain *domain = w.domain;
		inside_look(&before);
		std::vector<uint64_t> places = {inside_entry(), inside_resume(), inside_follow(), inside_trap()};
		for (uint64_t at = inside_entry(); at < inside_entry() + 200; at += 3) {
			places.push_back(at);
		}
		for (uint64_t at = inside_resume(); at < inside_resume_end(); at += 3) {
			places.push_back(at);
		}
		std::mt19937 random(5);
		for (int i = 0; i < 200; i++) {
			places.push_back(inside_gate_text() + random() % (inside_gate_text_end() - inside_gate_text()));
		}
		for (int i = 0; i < 96; i += 2) {
			places.push_back(reinterpret_cast<uint64_t>(w.target->host_pkey_set) + i);
		}
		for (uint64_t at : places) {
			SCOPED_TRACE(at - inside_gate_text());
			int rc = LYCH_CALL_TIMEOUT(domain, 2000, LYCH_NOTHING, hostile_jump, reinterpret_cast<void *>(at), 0,
						   w.secret, w.target->own, nullptr);
			Still(&w, before, rc);
			if (HasFatalFailure()) {
				return;
			}
		}
		w.Check();
	});
}

// A jump with registers of its choice, and a stack of its own unless rsp says another; rc and what has become of it.
struct Landed : landing {
	int rc;
	uint64_t fetched; // what the kernel has copied for it, where it was asked to
};

// In memory of the attacker's: the landing, what the kernel is to read into, and what it is to be read from, the stack.
constexpr size_t kTo = 1024, kFrom = 1040, kFetched = 2048, kStack = 4 * 4096, kStackBytes = 4 * 4096;

landing *Lay(const prey *p, landing l)
{
	auto *own = reinterpret_cast<landing *>(p->own);

	*reinterpret_cast<iovec *>(p->own + kTo) = {p->own + kFetched, 8};
	*reinterpret_cast<iovec *>(p->own + kFrom) = {p->secret, 8};
	*reinterpret_cast<uint64_t *>(p->own + kFetched) = 0;
	l.stack = reinterpret_cast<uint64_t *>(p->own + kStack);
	l.words = kStackBytes / 8;
	if (l.rsp == 0) {
		l.rsp = reinterpret_cast<uint64_t>(p->own) + kStack + kStackBytes / 2;
	}
	*own = l;
	return own;
}

// process_vm_readv of the secret, once the jump has led to a system call.
landing Fetch(const prey *p, uint64_t to)
{
	landing l = {};

	l.to = to;
	l.rax = SYS_process_vm_readv;
	l.rdi = static_cast<uint64_t>(p->pid);
	l.rsi = reinterpret_cast<uint64_t>(p->own + kTo);
	l.rdx = 1;
	l.r10 = reinterpret_cast<uint64_t>(p->own + kFrom);
	l.r8 = 1;
	l.prize = reinterpret_cast<uint64_t *>(p->own + kFetched);
	return l;
}

Landed Land(World *w, const inside &before, const landing &l, unsigned timeout_ms = 500)
{
	lych_domain *domain = w->domain;
	const landing *at = Lay(w->target, l);
	Landed result = {};

	result.rc = LYCH_CALL_TIMEOUT(domain, timeout_ms, LYCH_NOTHING, hostile_land, const_cast<landing *>(at));
	static_cast<landing &>(result) = *at;
	result.fetched = *reinterpret_cast<uint64_t *>(w->target->own + kFetched);
	EXPECT_NE(result.taken, PREY_SECRET);
	EXPECT_NE(result.fetched, PREY_SECRET);
	EXPECT_EQ(memmem(w->target->own, PREY_OWN, w->secret, 8), nullptr);
	Still(w, before, result.rc);
	return result;
}

// Of every file of the process: the addresses behind its WRPKRUs.
std::vector<uint64_t> Sites()
{
	std::vector<uint64_t> sites;

	dl_iterate_phdr(
		[](dl_phdr_info *info, size_t, void *out) {
			for (int i = 0; i < info->dlpi_phnum; i++) {
				const ElfW(Phdr) &h = info->dlpi_phdr[i];
				const char *at = reinterpret_cast<const char *>(info->dlpi_addr + h.p_vaddr);
				const char *end = at + h.p_memsz;
				while (h.p_type == PT_NOTE && h.p_align <= 4 && at + sizeof(ElfW(Nhdr)) < end) {
					const auto *note = reinterpret_cast<const ElfW(Nhdr) *>(at);
					const char *owner = at + sizeof(*note), *entry = owner + (note->n_namesz + 3) / 4 * 4;
					at = entry + (note->n_descsz + 3) / 4 * 4;
					if (note->n_namesz != sizeof(LYCH_NOTE_OWNER) || strcmp(owner, LYCH_NOTE_OWNER) != 0 ||
					    note->n_type != LYCH_NOTE_SITES) {
						continue;
					}
					for (const char *last = entry + note->n_descsz; entry + 8 <= last;) {
						int32_t away;
						memcpy(&away, entry, 4);
						static_cast<std::vector<uint64_t> *>(out)->push_back(
							reinterpret_cast<uint64_t>(entry) + static_cast<int64_t>(away));
						const auto before = static_cast<uint8_t>(entry[5]), after = static_cast<uint8_t>(entry[6]);
						entry += 8 + (before + after + 3) / 4 * 4;
					}
				}
			}
			return 0;
		},
		&sites);
	return sites;
}

constexpr char kWrpkru[] = "\x0f\x01\xef", kSyscall[] = "\x0f\x05";

std::vector<uint64_t> Find(uint64_t from, uint64_t to, const char *what)
{
	std::vector<uint64_t> found;
	const char *at = reinterpret_cast<const char *>(from), *end = reinterpret_cast<const char *>(to);

	while ((at = static_cast<const char *>(memmem(at, end - at, what, strlen(what)))) != nullptr) {
		found.push_back(reinterpret_cast<uint64_t>(at++));
	}
	return found;
}

TEST_F(Gates, GiveNothingAtAnySiteWhateverIsInTheRegisters)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		inside_look(&before);
		std::vector<uint64_t> sites = Sites();
		std::vector<uint64_t> writes = Find(inside_gate_text(), inside_gate_text_end(), kWrpkru);
		// there are no others in the gate, and none of these are elsewhere
		std::sort(sites.begin(), sites.end());
		ASSERT_EQ(sites.size(), writes.size());
		ASSERT_GE(sites.size(), 10u);
		for (size_t i = 0; i < sites.size(); i++) {
			ASSERT_EQ(sites[i] - 3, writes[i]);
		}
		// those of both calls with a domain's rights
		EXPECT_GE(std::count_if(sites.begin(), sites.end(),
					[](uint64_t at) { return at > inside_view_call() && at < inside_view_call() + 256; }),
			  4);
		const uint64_t host = static_cast<uint32_t>(~before.not_host), caller = static_cast<uint32_t>(~before.not_caller);
		const uint64_t hosts = (reinterpret_cast<uint64_t>(&before) & ~15ull) - 512;
		const struct {
			uint64_t rsp, rax, rcx, rdx;
		} variants[] = {
			{0, 0, 0, 0},
			{0, host, 0, 0},
			{0, caller, 0, 0},
			{0, inside_view_of(w.domain), 0, 0},
			{0, 0xffffffff, 0, 0},
			{hosts, 0, 0, 0},
			{hosts, host, 0, 0},
			{before.area + 2048, 0, 0, 0},
			{before.records + 640, host, 0, 0},
			{before.sig_stack - 256, 0, 0, 0},
			{before.altstack + before.altstack_bytes - 512, 0, 0, 0},
			{8, host, 0, 0},
			{0, host, 1, 0},
			{0, 0, 0, 1},
			{0, host << 32, host, host},
		};
		size_t tried = 0, landings = 0;
		for (uint64_t site : sites) {
			for (uint64_t to : {site - 3, site}) {
				for (const auto &v : variants) {
					SCOPED_TRACE(testing::Message()
						     << std::hex << "gate text + " << to - inside_gate_text() << ", rax " << v.rax
						     << ", rcx " << v.rcx << ", rdx " << v.rdx << ", rsp " << v.rsp);
					landing l = {};
					l.rsp = v.rsp;
					l.rax = v.rax;
					l.rcx = v.rcx;
					l.rdx = v.rdx;
					l.to = to;
					l.rdi = l.rsi = reinterpret_cast<uint64_t>(w.target->own + kTo);
					l.prize = tried % 2 == 0 ? w.secret : w.other;
					landings += Land(&w, before, l).landings;
					tried++;
					if (HasFailure()) {
						return;
					}
				}
			}
		}
		printf("%zu sites, %zu jumps, %zu came back with what they had\n", sites.size(), tried, landings);
		EXPECT_EQ(tried, writes.size() * 2 * std::size(variants));
		EXPECT_GT(landings, 0u);
		w.Check();
	});
}

// Of a control, in a child: the world of the attacks, and the attacker's jump in it.
std::pair<World *, void (*)(landing *)> WithoutTheRuntime()
{
	World *w = new World;
	auto land = reinterpret_cast<void (*)(landing *)>(WithoutProtection("hostile_land"));

	if (land == nullptr || !w->Bare(true)) {
		_exit(2);
	}
	return {w, land};
}

// The control: a WRPKRU that nothing is compared behind, the C library's own before the runtime has taken it away.
TEST_F(Gates, WithoutTheCompareGiveWhatTheirWrpkruGives)
{
	int status = ChildStatus([] {
		auto [w, land] = WithoutTheRuntime();
		uint64_t set = reinterpret_cast<uint64_t>(w->target->host_pkey_set);
		std::vector<uint64_t> writes = Find(set, set + 256, kWrpkru);
		if (writes.empty()) {
			_exit(4);
		}
		landing l = {};
		l.to = writes[0];
		l.prize = w->secret;
		landing *at = Lay(w->target, l);
		land(at);
		_exit(at->landings == 1 && at->taken == PREY_SECRET ? 0 : 3);
	});
	EXPECT_EQ(status, 0) << Ending(status);
}

struct Text {
	uint64_t from, to;
	std::string name;
};

// Of all that the process executes, at any byte: XRSTOR of memory, as a set of addresses.
std::vector<uint64_t> FindXrstors(const Text &text)
{
	std::vector<uint64_t> found;

	for (uint64_t at : Find(text.from, text.to, "\x0f\xae")) {
		const uint8_t modrm = at + 2 < text.to ? *reinterpret_cast<const uint8_t *>(at + 2) : 0;
		if ((modrm & 0x38) == 0x28 && modrm < 0xc0) {
			found.push_back(at);
		}
	}
	return found;
}

// What is to be added to rsp for the address that an XRSTOR at this place reads from; 0 where rsp is not in it.
int32_t Displacement(uint64_t xrstor)
{
	const auto *code = reinterpret_cast<const uint8_t *>(xrstor);
	int32_t wide = 0;

	memcpy(&wide, code + 4, sizeof(wide));
	return (code[2] & 7) != 4 ? 0 : code[2] >> 6 == 1 ? static_cast<int8_t>(code[4]) : code[2] >> 6 == 2 ? wide : 0;
}

// To an XRSTOR that reads PKRU, and from where: a place of zeros, whichever register leads there.
landing Restore(const prey *p, uint64_t to)
{
	constexpr size_t kZeros = 40 * 1024;
	landing l = {};

	memset(p->own + kZeros - 4096, 0, PREY_OWN - kZeros + 4096);
	l.to = to;
	l.rax = 1 << 9;
	l.rdi = l.rsi = l.rcx = l.r8 = l.r9 = l.r10 = reinterpret_cast<uint64_t>(p->own + kZeros);
	l.rsp = reinterpret_cast<uint64_t>(p->own + kZeros) - static_cast<uint64_t>(Displacement(to) & 0x3fff);
	l.rbx = reinterpret_cast<uint64_t>(p->own) + kStack + kStackBytes / 2; // where ld.so takes its stack from
	l.prize = p->secret;
	return l;
}

// What the process may execute and read, but for memory of the domain.
std::vector<Text> Texts(const prey *p)
{
	std::vector<Text> texts;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps != nullptr && fgets(line, sizeof(line), maps) != nullptr) {
		unsigned long from, to;
		char rights[8], name[256] = "";
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, rights, name) < 3 || rights[0] != 'r' ||
		    rights[2] != 'x') {
			continue;
		}
		if (to <= reinterpret_cast<uint64_t>(p->low) || from >= reinterpret_cast<uint64_t>(p->high)) {
			texts.push_back({from, to, name});
		}
	}
	if (maps != nullptr) {
		fclose(maps);
	}
	return texts;
}

TEST_F(Gates, AndNoSequenceOfTheHostsLibrariesIsOfUse)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		inside_look(&before);
		std::vector<uint64_t> sites = Sites();
		size_t bytes = 0, writes = 0, restores = 0, checked = 0;
		std::string names;
		for (const Text &text : Texts(w.target)) {
			for (uint64_t at : Find(text.from, text.to, kWrpkru)) {
				EXPECT_EQ(std::count(sites.begin(), sites.end(), at + 3), 1)
					<< text.name << " + " << std::hex << at - text.from << ": a WRPKRU that is no site";
				writes++;
			}
			for (uint64_t at : FindXrstors(text)) {
				SCOPED_TRACE(testing::Message() << text.name << " + " << std::hex << at - text.from);
				Landed l = Land(&w, before, Restore(w.target, at));
				EXPECT_EQ(l.landings, 0u) << "it has come back, with whatever rights";
				restores++;
				checked += l.rc == -EFAULT && lych_fault(w.domain)->kind == LYCH_FAULT_ILL;
				if (HasFailure()) {
					return;
				}
			}
			bytes += text.to - text.from;
			names += text.name + ", ";
		}
		printf("%zu bytes of code, %zu WRPKRU, %zu XRSTOR\n", bytes, writes, restores);
		EXPECT_EQ(writes, sites.size());
		EXPECT_GE(checked, 2u) << "those that the loader had, and a check behind each ends the call: " << names;
		EXPECT_GT(bytes, 1u << 20);
		for (const char *where : {"libc.so.6", "ld-linux"}) {
			EXPECT_NE(names.find(where), std::string::npos) << names;
		}
		w.Check();
	});
}

// The control: an XRSTOR of the dynamic loader's, before the runtime has put a check behind it.
TEST_F(Gates, WithoutTheCheckAnXrstorOfTheLoaderGivesAllRights)
{
	int status = ChildStatus([] {
		auto [w, land] = WithoutTheRuntime();
		for (const Text &text : Texts(w->target)) {
			std::vector<uint64_t> found = text.name.find("ld-linux") == std::string::npos ? std::vector<uint64_t>() : FindXrstors(text);
			if (!found.empty()) {
				landing *at = Lay(w->target, Restore(w->target, found[0]));
				land(at);
				_exit(at->landings == 1 && at->taken == PREY_SECRET ? 0 : 3);
			}
		}
		_exit(4);
	});
	EXPECT_EQ(status, 0) << Ending(status);
}

// Who made the last call with this number that was refused.
uint64_t LastRefused(lych_domain *domain, long nr)
{
	lych_refusal all[64];
	size_t n = std::min<size_t>(lych_refused(domain, all, 64), 64);

	for (size_t i = 0; i < n; i++) {
		if (all[i].nr == nr && !all[i].foreign) {
			return all[i].rip;
		}
	}
	return 0;
}

// Every syscall instruction of the process, also those that are parts of other instructions.
TEST_F(Gates, AndNoSyscallInstructionOfTheHostIsTheHostsOwn)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start(POLICY_MOST));
		inside_look(&before);
		const uint64_t parent = static_cast<uint64_t>(getppid());
		ASSERT_GT(parent, 1u);
		size_t places = 0, back = 0, in_gate = 0;
		std::string names;
		for (const Text &text : Texts(w.target)) {
			std::vector<uint64_t> found = Find(text.from, text.to, kSyscall);
			names += text.name + " " + std::to_string(found.size()) + ", ";
			for (uint64_t at : found) {
				SCOPED_TRACE(testing::Message() << text.name << " + " << std::hex << at - text.from);
				// what follows may be a loop; a machine may be slow
				Landed fetch = {};
				for (unsigned ms = 500; ms <= kCallMs; ms *= 4) {
					fetch = Land(&w, before, Fetch(w.target, at), ms);
					if (fetch.rc != -ETIMEDOUT || LastRefused(w.domain, SYS_process_vm_readv) == at + 2) {
						break;
					}
				}
				// asked, and by that very instruction
				EXPECT_EQ(LastRefused(w.domain, SYS_process_vm_readv), at + 2) << fetch.rc;
				places++;
				in_gate += inside_in_gate(at);
				if (inside_in_gate(at) || places % 4 == 0) {
					landing l = Fetch(w.target, at);
					l.rax = SYS_getppid; // is answered, and with 1
					Landed asked = Land(&w, before, l);
					if (asked.landings != 0 && asked.told == parent) {
						// or it is an errno of what comes behind, whatever was asked
						l.rax = SYS_geteuid;
						EXPECT_EQ(Land(&w, before, l).told, parent);
					}
					back += asked.landings != 0 && asked.told == 1;
				}
				if (HasFailure()) {
					return;
				}
			}
		}
		printf("%zu places, %zu in the gate; %zu came back with the answer\n", places, in_gate, back);
		for (const char *where : {"libc.so.6", "ld-linux", "[vdso]"}) {
			EXPECT_NE(names.find(where), std::string::npos) << names;
		}
		EXPECT_GE(places, 100u);
		EXPECT_GT(in_gate, 0u);
		EXPECT_GT(back, 0u);
		w.Check();
	});
}

// The control: without the runtime that instruction reads what a key protects.
TEST_F(Gates, WithoutTheRuntimeASyscallInstructionIsAnybodys)
{
	int status = ChildStatus([] {
		auto [w, land] = WithoutTheRuntime();
		if (w->target->host_syscall == nullptr) {
			_exit(2);
		}
		landing *at = Lay(w->target, Fetch(w->target, reinterpret_cast<uint64_t>(w->target->host_syscall)));
		land(at);
		_exit(at->landings == 1 && at->taken == PREY_SECRET ? 0 : 3);
	});
	EXPECT_EQ(status, 0) << Ending(status);
}

TEST_F(Gates, AndTheKernelWriteNothingWhereTheStackPointerPoints)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		lych_domain *domain = w.domain;
		inside_look(&before);
		for (uint64_t at : {reinterpret_cast<uint64_t>(w.secret), reinterpret_cast<uint64_t>(w.secret) + 4096,
				    reinterpret_cast<uint64_t>(w.other) + 2048, reinterpret_cast<uint64_t>(w.words) + 4000,
				    before.area + 4096, before.area + 64, before.records + 512, before.altstack + before.altstack_bytes,
				    before.altstack + 4096, before.sig_stack, before.sig_rsp, uint64_t{0}, ~uint64_t{7},
				    uint64_t{1} << 47, reinterpret_cast<uint64_t>(inside_root_page()) + 2048}) {
			SCOPED_TRACE(at);
			int rc = LYCH_CALL_TIMEOUT(domain, 5000, LYCH_NOTHING, hostile_wild, reinterpret_cast<void *>(at));
			EXPECT_EQ(rc, -EFAULT);
			Still(&w, before, rc);
			if (HasFatalFailure()) {
				return;
			}
		}
		w.Check();
	});
	// the control: without an alternate stack of the runtime's the kernel writes it there, whatever the key
	auto *page = static_cast<uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	ChildStatus([page] {
		auto wild = reinterpret_cast<void (*)(void *)>(WithoutProtection("hostile_wild"));
		int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
		struct sigaction action = {};
		action.sa_handler = [](int) {};
		sigaction(SIGILL, &action, nullptr);
		if (pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key) == 0) {
			wild(page + 512);
		}
	});
	EXPECT_TRUE(std::any_of(page, page + 512, [](uint64_t word) { return word != 0; }));
	munmap(page, 4096);
}

// Its own threads run on stacks that it may unmap.
TEST_F(Gates, TakeNoCallbackOnAStackThatIsNotThere)
{
	IN_A_CHILD({
		World w;
		long (*fn)(long) = nullptr;
		inside state;
		ASSERT_TRUE(w.Start());
		inside_look(&state);
		ASSERT_EQ(lych_callback(&fn, w.domain, gates_callback, nullptr), 0);
		for (uint64_t stack : {uint64_t{1}, uint64_t{2}, uint64_t{3}, reinterpret_cast<uint64_t>(w.secret) + 2048,
				       state.area + 2048, state.altstack + 4096, reinterpret_cast<uint64_t>(w.target->low) + 8,
				       reinterpret_cast<uint64_t>(w.target->high) - 8, reinterpret_cast<uint64_t>(w.target->high) + 4096,
				       uint64_t{8}, ~uint64_t{7}}) {
			SCOPED_TRACE(stack);
			long result = 0;
			called = 0;
			w.target->more[0] = stack;
			w.target->more[1] = reinterpret_cast<uint64_t>(fn);
			int rc = w.Attack("attack_calls_back_from_a_thread", &result);
			EXPECT_TRUE(rc == -ECANCELED || rc == -EFAULT) << rc;
			w.Anew();
			ASSERT_EQ(lych_callback(&fn, w.domain, gates_callback, nullptr), 0);
		}
		w.Check();
	});
}

// Signals of the host's timer in the middle of whatever the domain does; what it sees and what it has is not changed.
TEST_F(Gates, AndEmulatedCallsStandAStormOfSignals)
{
	IN_A_CHILD({
		World w;
		ASSERT_TRUE(w.Start());
		static std::atomic<int> storm;
		storm = 0;
		struct sigaction action = {};
		action.sa_handler = [](int) { storm++; };
		sigaction(SIGALRM, &action, nullptr);
		itimerval often = {{0, 500}, {0, 500}};
		setitimer(ITIMER_REAL, &often, nullptr);
		lych_domain *domain = w.domain;
		for (int i = 0; i < 2000 || (storm < 50 && i < 100000); i++) {
			long result = 0;
			long nr = i % 3 == 0 ? SYS_getpid : i % 3 == 1 ? SYS_process_vm_readv : SYS_clock_gettime;
			ASSERT_EQ(LYCH_CALL_TIMEOUT(domain, kCallMs, &result, hostile_syscall, nr,
						    1, reinterpret_cast<long>(i % 3 == 2 ? static_cast<void *>(w.secret) : w.target->own),
						    0, 0, 0, 0),
				  0);
			ASSERT_EQ(result, i % 3 == 0 ? getpid() : i % 3 == 1 ? -EPERM : -EFAULT) << i;
		}
		often = {};
		setitimer(ITIMER_REAL, &often, nullptr);
		EXPECT_GE(storm, 50);
		w.Check();
	});
}

} // namespace
