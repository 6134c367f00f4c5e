/* SPDX-License-Identifier: Apache-2.0 */
// G7: a domain leaves hostile registers, stacks and unwind tables behind for the report of its fault. The report ends, reads
// nothing that is not the domain's, and the host goes on.
#include "attack.h"

namespace
{

class Reports : public OfEachKind
{
protected:
	static void ExpectShort(size_t most)
	{
		const struct lych_fault *fault = lych_fault(domain);
		EXPECT_LE(static_cast<size_t>(fault->nframes), most);
		for (int i = 0; i < fault->nframes; i++) {
			EXPECT_NE(fault->frames[i], kSecret) << "frame " << i << " was read where the domain cannot";
		}
		int null = dup(1);
		EXPECT_EQ(lych_fault_print(fault, null), 0);
		close(null);
	}
};

long Wild(prey *p)
{
	return attack_wild(p->more[0], p->more[1]);
}

TEST_P(Reports, OfWildStacksAndFramePointersAreShort)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		inside_look(&state);
		static uint64_t program[64];
		uint64_t own = reinterpret_cast<uint64_t>(target->own);
		uint64_t places[] = {0, 8, ~7ull, 1ull << 63, own, own + 3, own + kOwn - 8, reinterpret_cast<uint64_t>(closed),
				     reinterpret_cast<uint64_t>(victims), reinterpret_cast<uint64_t>(program), state.area,
				     state.area + 4096, state.records, state.altstack};
		for (uint64_t rbp : places) {
			for (uint64_t rsp : places) {
				// a stack of pointers to itself
				for (size_t i = 0; i < kOwn; i += 8) {
					uint64_t self = own + i;
					memcpy(target->own + i, &self, 8);
				}
				target->more[0] = rbp;
				target->more[1] = rsp;
				EXPECT_EQ(Attack(Wild).rc, -EFAULT);
				ExpectFault(LYCH_FAULT_ILL);
				ExpectShort(LYCH_FAULT_FRAMES);
				EXPECT_EQ(lych_domain_reset(domain), 0);
				ASSERT_TRUE(Arm());
				own = reinterpret_cast<uint64_t>(target->own);
			}
		}
	});
}

// The tables of attack_tables say: the caller's address is where *rbx points to.
long ByTables(prey *p)
{
	uint64_t above[4] = {0x123456789, 0x123456789, 0, 0};
	if (p->more[1] != 0) {
		p->more[0] = reinterpret_cast<uint64_t>(above);
	}
	__asm__ volatile("" ::"r"(above) : "memory");
	return attack_tables(reinterpret_cast<uint64_t>(&p->more[0]));
}

long ByTablesThatLoop(prey *p)
{
	return attack_tables_loop(p->more[0]);
}

TEST_P(Reports, OfHostileUnwindTablesReadNothingOfOthers)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		inside_look(&state);
		static uint64_t program[4] = {kSecret, kSecret, kSecret, kSecret};
		for (uint64_t at : {reinterpret_cast<uint64_t>(closed), reinterpret_cast<uint64_t>(victims),
				    reinterpret_cast<uint64_t>(program),
				    state.records, uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 63}) {
			target->more[0] = at;
			target->more[1] = 0;
			EXPECT_EQ(Attack(ByTables).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			ExpectShort(1);
			Anew();
		}
		// the control: in the domain's own stack the tables are followed
		target->more[1] = 1;
		EXPECT_EQ(Attack(ByTables).rc, -EFAULT);
		ASSERT_GE(lych_fault(domain)->nframes, 2);
		EXPECT_EQ(lych_fault(domain)->frames[1], 0x123456789u);
		Anew();
		// an expression without end has an end
		target->more[0] = 0;
		EXPECT_EQ(Attack(ByTablesThatLoop).rc, -EFAULT);
		ExpectFault(LYCH_FAULT_ILL);
		ExpectShort(1);
		Anew();
	});
}

OF_EACH_KIND(Reports);

} // namespace
