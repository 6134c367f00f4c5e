// SPDX-License-Identifier: Apache-2.0
// The library as a program uses it: buffers, files, archives, errors.
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <lychgate/scan.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace
{

const uint8_t kWrpkru[] = {0x0f, 0x01, 0xef};

struct Found {
	uint64_t vaddr, off;
	lych_class cls;
	lych_verdict verdict;
	std::string member, symbol;
};

struct Sink {
	std::vector<Found> found;
	std::vector<std::string> errors;
	std::vector<std::string> warnings;
	std::function<int()> on_finding;
};

int take_finding(void *ctx, const lych_finding *f)
{
	auto *sink = static_cast<Sink *>(ctx);
	sink->found.push_back({f->vaddr, f->off, f->cls, f->verdict, f->member, f->symbol});
	return sink->on_finding ? sink->on_finding() : 0;
}

void take_diag(void *ctx, const lych_diag *d)
{
	auto *sink = static_cast<Sink *>(ctx);
	if (d->severity == LYCH_DIAG_ERROR) {
		EXPECT_LT(d->err, 0) << d->message;
		sink->errors.push_back(d->message);
	} else if (d->severity == LYCH_DIAG_WARNING) {
		sink->warnings.push_back(d->message);
	}
}

lych_scan_opts opts_for(Sink *sink)
{
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	opts.finding = take_finding;
	opts.diag = take_diag;
	opts.ctx = sink;
	return opts;
}

class TempFile
{
      public:
	TempFile()
	{
		fd = mkstemp(path);
	}
	~TempFile()
	{
		close(fd);
		unlink(path);
	}
	void put(uint64_t off, const void *data, size_t len)
	{
		ASSERT_EQ(pwrite(fd, data, len, static_cast<off_t>(off)), static_cast<ssize_t>(len));
	}
	char path[32] = "/tmp/lych_scan_XXXXXX";
	int fd;
};

} // namespace

TEST(ScanBuffer, SequenceIsFoundOnceAtEveryOffsetAroundAWindowBorder)
{
	const size_t border = 256 * 1024;
	std::vector<uint8_t> buf(3 * border, 0x90);

	for (size_t at = border - 20; at < border + 20; at++) {
		memcpy(&buf[at], kWrpkru, sizeof(kWrpkru));
		Sink sink;
		lych_scan_opts opts = opts_for(&sink);
		ASSERT_EQ(lych_scan_buffer(buf.data(), buf.size(), &opts, nullptr), 0);
		ASSERT_EQ(sink.found.size(), 1u) << at;
		EXPECT_EQ(sink.found[0].vaddr, at);
		EXPECT_EQ(sink.found[0].off, LYCH_NO_OFFSET);
		memset(&buf[at], 0x90, sizeof(kWrpkru));
	}
}

TEST(ScanBuffer, LongestSequenceIsFoundOnceAcrossAWindowBorder)
{
	const size_t border = 256 * 1024;
	std::vector<uint8_t> seq = {0xf3, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
				    0x66, 0x66, 0x66, 0x48, 0x0f, 0xae, 0xd8};
	std::vector<uint8_t> buf(2 * border, 0x90);

	ASSERT_EQ(seq.size(), static_cast<size_t>(LYCH_SEQUENCE_MAX));
	for (size_t at = border - 20; at < border + 20; at++) {
		std::vector<uint8_t> b = buf;
		memcpy(&b[at], seq.data(), seq.size());
		Sink sink;
		lych_scan_opts opts = opts_for(&sink);
		opts.classes = LYCH_POLICY_HOST;
		opts.flags = LYCH_SCAN_BYTES_ONLY;
		ASSERT_EQ(lych_scan_buffer(b.data(), b.size(), &opts, nullptr), 0);
		ASSERT_EQ(sink.found.size(), 1u) << at;
		EXPECT_EQ(sink.found[0].vaddr, at);
	}
}

TEST(ScanBuffer, AdjacentSequencesAreBothFoundAndAddressesStartAtTheBase)
{
	const uint8_t buf[] = {0x0f, 0x01, 0xef, 0x0f, 0x01, 0xef};
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);

	opts.raw_vaddr = 0x7000;
	ASSERT_EQ(lych_scan_buffer(buf, sizeof(buf), &opts, nullptr), 0);
	ASSERT_EQ(sink.found.size(), 2u);
	EXPECT_EQ(sink.found[0].vaddr, 0x7000u);
	EXPECT_EQ(sink.found[1].vaddr, 0x7003u);
}

TEST(ScanBuffer, StatisticsAddUpOverScansWithoutCallbacks)
{
	lych_scan_stats stats = {};

	ASSERT_EQ(lych_scan_buffer(kWrpkru, 3, nullptr, &stats), 0);
	ASSERT_EQ(lych_scan_buffer(kWrpkru, 3, nullptr, &stats), 0);
	EXPECT_EQ(stats.images, 2u);
	EXPECT_EQ(stats.exec_bytes, 6u);
	EXPECT_EQ(stats.count[LYCH_VERDICT_STRAY][LYCH_WRPKRU], 2u);
}

TEST(ScanBuffer, ProgressAddsUpToAllBytes)
{
	std::vector<uint8_t> buf(5 << 20, 0x90);
	struct {
		uint64_t bytes = 0;
		int calls = 0;
	} seen;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;

	opts.ctx = &seen;
	opts.progress = [](void *ctx, uint64_t bytes) {
		auto *s = static_cast<decltype(seen) *>(ctx);
		s->bytes += bytes;
		s->calls++;
	};
	ASSERT_EQ(lych_scan_buffer(buf.data(), buf.size(), &opts, nullptr), 0);
	EXPECT_EQ(seen.bytes, buf.size());
	EXPECT_GT(seen.calls, 10);
}

TEST(ScanBuffer, EmptyAndWrongArguments)
{
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;

	EXPECT_EQ(lych_scan_buffer(nullptr, 0, nullptr, nullptr), 0);
	EXPECT_EQ(lych_scan_buffer(nullptr, 1, nullptr, nullptr), -EINVAL);
	opts.size = 0;
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &opts, nullptr), -EINVAL);
	opts.size = sizeof(opts);
	opts.flags = 0x80000000u;
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &opts, nullptr), -EINVAL);
	opts.flags = 0;
	opts.classes = LYCH_CLASS_BIT(LYCH_CLASS_COUNT);
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &opts, nullptr), -EINVAL);
	opts.classes = 0;
	opts.raw_vaddr = UINT64_MAX - 1;
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &opts, nullptr), -EINVAL);
}

TEST(ScanBuffer, OptionsOfANewerCallerAreTakenOnlyWhenTheySayDefault)
{
	struct {
		lych_scan_opts opts;
		uint64_t more;
	} newer = {LYCH_SCAN_OPTS_INIT, 0};

	newer.opts.size = sizeof(newer);
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &newer.opts, nullptr), 0);
	newer.more = 1;
	EXPECT_EQ(lych_scan_buffer(kWrpkru, 3, &newer.opts, nullptr), -EINVAL);
}

TEST(ScanBuffer, CallbackCanStopTheScan)
{
	const uint8_t buf[] = {0x0f, 0x01, 0xef, 0x0f, 0x01, 0xef};
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);

	sink.on_finding = [] { return 1; };
	EXPECT_EQ(lych_scan_buffer(buf, sizeof(buf), &opts, nullptr), -ECANCELED);
	EXPECT_EQ(sink.found.size(), 1u);
}

TEST(ScanBuffer, ThreadsDoNotDisturbEachOther)
{
	std::vector<uint8_t> buf(1 << 20, 0x90);
	for (size_t i = 100; i < buf.size(); i += 5000) {
		memcpy(&buf[i], kWrpkru, 3);
	}
	std::vector<std::thread> threads;
	std::atomic<int> wrong{0};
	for (int t = 0; t < 4; t++) {
		threads.emplace_back([&] {
			for (int i = 0; i < 5; i++) {
				Sink sink;
				lych_scan_opts opts = opts_for(&sink);
				int rc = lych_scan_buffer(buf.data(), buf.size(), &opts, nullptr);
				wrong += rc != 0 || sink.found.size() != (buf.size() - 100 + 4999) / 5000;
			}
		});
	}
	for (auto &thread : threads) {
		thread.join();
	}
	EXPECT_EQ(wrong, 0);
}

TEST(ScanFile, WhatIsNoCodeIsRefusedByItsReason)
{
	char dir[] = "/tmp/lych_dir_XXXXXX";
	TempFile text;

	EXPECT_EQ(lych_scan_file("/nonexistent/x", nullptr, nullptr), -ENOENT);
	EXPECT_EQ(lych_scan_file("/tmp", nullptr, nullptr), -EISDIR);
	EXPECT_EQ(lych_scan_file("/dev/zero", nullptr, nullptr), -ENOTSUP);
	EXPECT_EQ(lych_scan_file(nullptr, nullptr, nullptr), -EINVAL);
	EXPECT_EQ(lych_scan_fd(-1, "x", nullptr, nullptr), -EINVAL);
	EXPECT_EQ(lych_scan_file(text.path, nullptr, nullptr), -ENOEXEC); /* empty */
	text.put(0, "#!/bin/sh\n", 10);
	EXPECT_EQ(lych_scan_file(text.path, nullptr, nullptr), -ENOEXEC);
	ASSERT_NE(mkdtemp(dir), nullptr);
	const std::string fifo = std::string(dir) + "/fifo", loop = std::string(dir) + "/loop";
	ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
	EXPECT_EQ(lych_scan_file(fifo.c_str(), nullptr, nullptr), -ENOTSUP);
	unlink(fifo.c_str());
	ASSERT_EQ(symlink(loop.c_str(), loop.c_str()), 0);
	EXPECT_EQ(lych_scan_file(loop.c_str(), nullptr, nullptr), -ELOOP);
	unlink(loop.c_str());
	rmdir(dir);
}

TEST(ScanFile, OtherMachinesAndCoreFilesAreNamed)
{
	TempFile file;
	Elf64_Ehdr e = {};
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);

	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS64;
	e.e_ident[EI_DATA] = ELFDATA2LSB;
	e.e_ident[EI_VERSION] = EV_CURRENT;
	e.e_type = ET_DYN;
	e.e_version = EV_CURRENT;
	e.e_machine = EM_AARCH64;
	e.e_ehsize = sizeof(e);
	file.put(0, &e, sizeof(e));
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -EPROTOTYPE);
	ASSERT_EQ(sink.errors.size(), 1u);
	EXPECT_NE(sink.errors[0].find("aarch64"), std::string::npos) << sink.errors[0];
	e.e_machine = EM_X86_64;
	e.e_type = ET_CORE;
	file.put(0, &e, sizeof(e));
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -ELIBBAD);
	e.e_type = ET_DYN;
	e.e_ident[EI_CLASS] = ELFCLASS32;
	file.put(0, &e, sizeof(e));
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -EPROTOTYPE);
	EXPECT_NE(sink.errors.back().find("x32"), std::string::npos) << sink.errors.back();
}

TEST(ScanFile, SparseTerabyteIsScannedWhereItHasData)
{
	TempFile file;
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	const uint64_t at = (UINT64_C(900) << 30) + 4095; /* across a page, far out */

	if (ftruncate(file.fd, off_t(1) << 40) != 0) {
		GTEST_SKIP() << "the file system has no sparse files of a terabyte";
	}
	file.put(at, kWrpkru, 3);
	opts.flags = LYCH_SCAN_RAW;
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), 0);
	ASSERT_EQ(sink.found.size(), 1u);
	EXPECT_EQ(sink.found[0].off, at);
}

TEST(ScanFile, LargerThanTheLimitIsRefused)
{
	TempFile file;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;

	file.put(0, kWrpkru, 3);
	opts.flags = LYCH_SCAN_RAW;
	opts.max_bytes = 2;
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -EFBIG);
	opts.max_bytes = 3;
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), 0);
}

TEST(ScanFile, FileCutShortMeanwhileIsSaidToHaveChanged)
{
	TempFile file;
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	std::vector<uint8_t> code(4 << 20, 0x90);

	memcpy(&code[10], kWrpkru, 3);
	memcpy(&code[3 << 20], kWrpkru, 3);
	file.put(0, code.data(), code.size());
	opts.flags = LYCH_SCAN_RAW;
	sink.on_finding = [&] { return ftruncate(file.fd, 100); };
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -ESTALE);
	EXPECT_EQ(sink.found.size(), 1u);
	EXPECT_FALSE(sink.errors.empty());
}

TEST(ScanFile, FileWrittenMeanwhileIsSaidToHaveChanged)
{
	TempFile file;
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);

	file.put(0, kWrpkru, 3);
	opts.flags = LYCH_SCAN_RAW;
	sink.on_finding = [&] {
		usleep(20000); /* past the granularity of time stamps */
		file.put(0, "xxx", 3);
		return 0;
	};
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -ESTALE);
}

TEST(ScanFile, TimeLimitEndsTheScan)
{
	TempFile file;
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	std::vector<uint8_t> code(1 << 20, 0x90);

	memcpy(&code[10], kWrpkru, 3);
	file.put(0, code.data(), code.size());
	opts.flags = LYCH_SCAN_RAW;
	opts.timeout_ms = 10;
	sink.on_finding = [] {
		usleep(50000);
		return 0;
	};
	EXPECT_EQ(lych_scan_file(file.path, &opts, nullptr), -ETIMEDOUT);
}

TEST(ScanFile, GlibcsOwnIsRuntimeHandledAndNamed)
{
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);

	ASSERT_EQ(lych_scan_file("/lib/x86_64-linux-gnu/libc.so.6", &opts, nullptr), 0);
	ASSERT_EQ(sink.found.size(), 1u);
	EXPECT_EQ(sink.found[0].cls, LYCH_WRPKRU);
	EXPECT_EQ(sink.found[0].verdict, LYCH_VERDICT_RUNTIME);
	EXPECT_EQ(sink.found[0].symbol, "pkey_set");
}

TEST(ScanArchive, MembersAreNamedAndOffsetsAreThoseOfTheArchive)
{
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	const char *libc = "/usr/lib/x86_64-linux-gnu/libc.a";

	if (access(libc, R_OK) != 0) {
		GTEST_SKIP() << libc << " is not installed";
	}
	ASSERT_EQ(lych_scan_file(libc, &opts, nullptr), 0);
	bool seen = false;
	std::ifstream in(libc, std::ios::binary);
	for (const Found &f : sink.found) {
		if (f.cls == LYCH_WRPKRU) {
			uint8_t bytes[3];
			in.seekg(static_cast<std::streamoff>(f.off));
			in.read(reinterpret_cast<char *>(bytes), 3);
			EXPECT_EQ(memcmp(bytes, kWrpkru, 3), 0);
			seen |= f.member == "pkey_set.o";
		}
	}
	EXPECT_TRUE(seen);
}

TEST(Explain, AddressWithoutASequenceShowsInstructions)
{
	TempFile file;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	const uint8_t code[] = {0x90, 0x90, 0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3};
	struct Seen {
		int calls = 0;
		size_t nbytes = 99, ninsns = 0;
	} seen;

	file.put(0, code, sizeof(code));
	opts.flags = LYCH_SCAN_RAW;
	opts.ctx = &seen;
	opts.finding = [](void *ctx, const lych_finding *f) {
		auto *s = static_cast<Seen *>(ctx);
		s->calls++;
		s->nbytes = f->nbytes;
		s->ninsns = f->ninsns;
		return 0;
	};
	EXPECT_EQ(lych_scan_explain(file.path, 0, &opts), 0);
	EXPECT_EQ(seen.calls, 1);
	EXPECT_EQ(seen.nbytes, 0u);
	EXPECT_GT(seen.ninsns, 0u);
	for (uint64_t inside = 3; inside < 6; inside++) {
		seen = {};
		EXPECT_EQ(lych_scan_explain(file.path, inside, &opts), 0);
		EXPECT_EQ(seen.calls, 1);
		EXPECT_EQ(seen.nbytes, 3u);
	}
	EXPECT_EQ(lych_scan_explain(file.path, 8, &opts), -EINVAL);
}
