// SPDX-License-Identifier: Apache-2.0
// Every attack of one group of attacks.inc: inside a library domain it is stopped; without protection the same code has its effect.
#include "library_attack.h"

namespace
{

class Attacks : public LibraryAttack, public ::testing::WithParamInterface<const attack *>
{
};

void Inside(const attack *a)
{
	World w;
	long result = 0;

	ASSERT_TRUE(w.Start(a->policy));
	int rc = w.Attack(a->symbol, &result);
	if (rc == 0) {
		EXPECT_NE(result, ATTACK_DONE) << "not stopped";
		EXPECT_LE(result, 0);
	} else {
		// a fault of another thread inside ends this one's call, too
		EXPECT_TRUE(rc == -EFAULT || (rc == -ECANCELED && a->end == END_ANY)) << rc;
	}
	switch (a->end) {
	case END_REFUSED:
		EXPECT_EQ(rc, 0) << lych_fault_kind_name(lych_fault(w.domain)->kind);
		EXPECT_LT(result, 0);
		break;
	case END_EFAULT:
		EXPECT_EQ(rc, 0) << lych_fault_kind_name(lych_fault(w.domain)->kind);
		EXPECT_EQ(result, -EFAULT);
		break;
	case END_KEY:
		EXPECT_EQ(rc, -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(w.domain)->kind), lych_fault_kind_name(LYCH_FAULT_KEY));
		EXPECT_EQ(lych_fault(w.domain)->code, SEGV_PKUERR);
		break;
	case END_FAULT:
		EXPECT_EQ(rc, -EFAULT);
		break;
	case END_ANY:
		break;
	}
	if (rc != 0) {
		w.Anew();
	} else {
		EXPECT_EQ(w.Attack("attack_nothing", &result), 0) << "the domain works";
		EXPECT_EQ(result, ATTACK_DONE);
	}
}

void Control(const attack *a)
{
	int status = ChildStatus([a] {
		World *w = new World;
		auto fn = reinterpret_cast<attack_fn>(WithoutProtection(a->symbol));
		ASSERT_NE(fn, nullptr);
		if (!w->Bare(a->control != CONTROL_PLAIN)) {
			_exit(2);
		}
		long result = fn(w->target);
		if (result < 0) {
			fprintf(stderr, "without protection %s gives %s\n", a->name, strerror(static_cast<int>(-result)));
		}
		_exit(result == ATTACK_DONE ? 0 : 3);
	});
	switch (a->control) {
	case CONTROL_LACKING:
		EXPECT_TRUE(status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 3) ||
			    (WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV)))
			<< Ending(status);
		break;
	case CONTROL_EXITS:
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 33) << Ending(status);
		break;
	case CONTROL_KILLED:
		EXPECT_TRUE(WIFSIGNALED(status)) << Ending(status);
		break;
	default:
		EXPECT_EQ(status, 0) << "the same without protection: " << Ending(status);
		break;
	}
}

TEST_P(Attacks, IsStoppedAndWouldHaveItsEffect)
{
	IN_A_CHILD({ Inside(GetParam()); });
	Control(GetParam());
}

std::vector<const attack *> All()
{
	std::vector<const attack *> all;

	for (const attack *a = attacks; a->name != nullptr; a++) {
		if (strcmp(a->group, LYCH_ATTACK_GROUP) == 0) {
			all.push_back(a);
		}
	}
	return all;
}

INSTANTIATE_TEST_SUITE_P(Library, Attacks, ::testing::ValuesIn(All()), [](const auto &one) {
	return std::string(one.param->name);
});

} // namespace
