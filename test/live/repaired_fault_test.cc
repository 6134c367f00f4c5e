// SPDX-License-Identifier: Apache-2.0
// A domain's fault in an instruction that was moved to a trampoline is reported as one of its function.
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "live.h"

extern "C" {
// The displacement holds the bytes of WRPKRU. One whose address is built in the destination, one that needs the stack.
__attribute__((noinline, noclone)) long repaired_load(const char *p)
{
	long got;
	__asm__ volatile("mov 0xef010f(%1), %0" : "=r"(got) : "r"(p));
	return got;
}
__attribute__((noinline, noclone)) long repaired_add(const char *p)
{
	__asm__ volatile("addl $1, 0xef010f(%0)" : : "r"(p) : "memory");
	return 0;
}
__attribute__((noinline, noclone)) long repaired_caller(long (*fn)(const char *), const char *p)
{
	long got = fn(p);
	__asm__ volatile("" : "+r"(got));
	return got + 1;
}
}

LYCH_BIND(domain, repaired_caller, long, (long (*)(const char *), const char *));

namespace
{

constexpr uint64_t kFunction = 96;

bool within(uint64_t address, const void *function)
{
	return address - reinterpret_cast<uint64_t>(function) < kFunction;
}

std::string printed(const struct lych_fault *fault)
{
	int fd = memfd_create("report", 0);
	std::string text(16384, '\0');
	EXPECT_EQ(lych_fault_print(fault, fd), 0);
	ssize_t n = pread(fd, &text[0], text.size(), 0);
	close(fd);
	text.resize(n > 0 ? static_cast<size_t>(n) : 0);
	return text;
}

TEST(FaultsInTrampolines, AreReportedAtTheInstructionThatWasMoved)
{
	lych_init_opts opts = {};
	opts.code = LYCH_CODE_REPAIR;
	const int rc = live_start(opts);
	ASSERT_EQ(rc, 0) << lych_strerror(rc) << ": " << lych_why();
	for (auto fn : {repaired_load, repaired_add}) {
		lych_domain *domain = live_domain("repaired");
		long got = 0;
		EXPECT_EQ(LYCH_CALL(domain, &got, repaired_caller, fn, reinterpret_cast<const char *>(16)), -EFAULT);
		const auto *fault = lych_fault(domain);
		ASSERT_NE(fault, nullptr);
		EXPECT_FALSE(within(fault->rip, reinterpret_cast<void *>(fn))) << "it was not moved";
		ASSERT_GE(fault->nframes, 2);
		EXPECT_TRUE(within(fault->frames[0], reinterpret_cast<void *>(fn))) << std::hex << fault->frames[0];
		EXPECT_TRUE(within(fault->frames[1], reinterpret_cast<void *>(repaired_caller))) << std::hex << fault->frames[1];
		char site[32];
		snprintf(site, sizeof(site), "  for 0x%llx", static_cast<unsigned long long>(fault->frames[0]));
		EXPECT_NE(printed(fault).find(site), std::string::npos) << printed(fault);
		EXPECT_EQ(lych_domain_free(domain), 0);
	}
}

} // namespace
