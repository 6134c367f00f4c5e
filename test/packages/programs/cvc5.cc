// SPDX-License-Identifier: Apache-2.0
// libcvc5-1, C++: code and data in one segment, and the sequence stands in the tables that exceptions are handled by.
// Its page stops being executable; formulas are solved as before, and exceptions caught.
#include "program.h"

#include <exception>
#include <optional>
#include <string>

namespace
{

// Handed over and returned by address, and never freed.
template <int> struct Opaque {
	alignas(16) char bytes[128];
	Opaque() {}
	~Opaque() {}
};
using Term = Opaque<0>;
using Sort = Opaque<1>;
using Result = Opaque<2>;
struct Solver;

constexpr int kVariables = 6;

void calls(void *library)
{
	auto *construct = function<void(void *)>(library, "_ZN4cvc56SolverC1Ev");

	auto *option = function<void(const Solver *, const std::string &, const std::string &)>(
		library, "_ZNK4cvc56Solver9setOptionERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_");
	auto *logic = function<void(const Solver *, const std::string &)>(
		library, "_ZNK4cvc56Solver8setLogicERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
	auto *boolean = function<Sort(const Solver *)>(library, "_ZNK4cvc56Solver14getBooleanSortEv");
	auto *constant = function<Term(const Solver *, const Sort &, const std::optional<std::string> &)>(
		library,
		"_ZNK4cvc56Solver7mkConstERKNS_4SortERKSt8optionalINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE");
	auto *negated = function<Term(const Term *)>(library, "_ZNK4cvc54Term7notTermEv");
	auto *or_else = function<Term(const Term *, const Term &)>(library, "_ZNK4cvc54Term6orTermERKS0_");
	auto *and_also = function<Term(const Term *, const Term &)>(library, "_ZNK4cvc54Term7andTermERKS0_");
	auto *check = function<Result(const Solver *, const Term &)>(library,
								     "_ZNK4cvc56Solver16checkSatAssumingERKNS_4TermE");
	auto *is_sat = function<bool(const Result *)>(library, "_ZNK4cvc56Result5isSatEv");
	alignas(16) static char room[4096];
	auto *solver = reinterpret_cast<Solver *>(room);

	construct(room);
	option(solver, "incremental", "true");
	Sort sort = boolean(solver);
	Term variables[kVariables];
	for (int i = 0; i < kVariables; i++) {
		new (&variables[i]) Term(constant(solver, sort, std::string(1, static_cast<char>('a' + i))));
	}
	for (int round = 0; round < 60; round++) {
		// Clauses of three, and every assignment tried.
		bool possible[1 << kVariables], any = false;
		std::fill(std::begin(possible), std::end(possible), true);
		Term *formula = nullptr;
		for (int n = 0; n < 26; n++) {
			Term *clause = nullptr;
			bool holds[1 << kVariables] = {};
			for (int k = 0; k < 3; k++) {
				auto v = random_number() % kVariables;
				bool no = random_number() % 2 != 0;
				auto *literal = no ? new Term(negated(&variables[v])) : &variables[v];
				clause = clause == nullptr ? literal : new Term(or_else(clause, *literal));
				for (unsigned a = 0; a < 1 << kVariables; a++) {
					holds[a] = holds[a] || (a >> v & 1) != no;
				}
			}
			formula = formula == nullptr ? clause : new Term(and_also(formula, *clause));
			for (unsigned a = 0; a < 1 << kVariables; a++) {
				possible[a] = possible[a] && holds[a];
			}
		}
		for (bool p : possible) {
			any = any || p;
		}
		Result result = check(solver, *formula);
		known_number("whether it can be satisfied", is_sat(&result), any);
		std::string why;
		try {
			logic(solver, "no logic " + std::to_string(round));
		} catch (const std::exception &e) {
			why = e.what();
		}
		known_number("an exception", !why.empty(), 1);
		answer(why.data(), why.size());
	}

}

} // namespace

extern "C" const struct program program = {calls, nullptr, nullptr};
