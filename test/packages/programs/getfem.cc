// SPDX-License-Identifier: Apache-2.0
// libgetfem5, C++: what makes the geometric transformation of a prism by name. The text of the exception for
// arguments that are none goes through a stream; a call for that holds it.
#include "program.h"

#include <memory>
#include <stdexcept>
#include <string>

namespace
{

using Transformation = std::shared_ptr<const void>;

void calls(void *library)
{
	// pgeometric_trans geometric_trans_descriptor(std::string), std::string name_of_geometric_trans(pgeometric_trans)
	auto *make = function<Transformation(std::string)>(
		library, "_ZN5bgeot26geometric_trans_descriptorENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
	auto *name_of = function<std::string(Transformation)>(
		library, "_ZN5bgeot23name_of_geometric_transB5cxx11ESt10shared_ptrIKNS_15geometric_transEE");
	std::string text = name_of(make("GT_PK(2,1)"));
	known_answer("the name of a triangle's", text.data(), text.size(), "47545f504b28322c3129");
	for (int i = 0; i < 300; i++) {
		std::string n = std::to_string(random_number() % 1000);
		for (const std::string &name : {"GT_PRISM(GT_PK(1,1)," + n + ")", "GT_PRISM(" + n + ",GT_PK(1,1))"}) {
			text.clear();
			try {
				make(name);
			} catch (const std::logic_error &e) {
				text = e.what();
			}
			known_number("the argument is refused", text.find("Bad type of parameters") != std::string::npos, 1);
			answer(text.data(), text.size());
		}
	}
}

} // namespace

extern "C" const struct program program = {calls, nullptr, nullptr};
