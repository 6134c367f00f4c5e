# SPDX-License-Identifier: Apache-2.0
# `lychgate doctor` where keys exist, on both kernels and with PKU masked off. Included by CMakeLists.txt.
if(TARGET lychgate)
	# The cases of test/cli once more, with LYCH_REQUIRE_PKU=1: what they skip elsewhere they show here.
	add_executable(doctor_vm_test ${PROJECT_SOURCE_DIR}/test/cli/doctor_command_test.cc)
	target_link_libraries(doctor_vm_test PRIVATE lych_flags GTest::gtest GTest::gmock GTest::gtest_main
		PkgConfig::jansson)
	target_compile_definitions(doctor_vm_test PRIVATE LYCHGATE_COMMAND="$<TARGET_FILE:lychgate>")
	add_dependencies(doctor_vm_test lychgate)
	lych_vm_test(doctor_vm_test VM_ARGS --with $<TARGET_FILE:lychgate>)

	# As a user types it.
	add_test(NAME vm.doctor COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/doctor_vm.sh)
	set_tests_properties(vm.doctor PROPERTIES TIMEOUT 900 RESOURCE_LOCK vm.6.12 LABELS vm
		ENVIRONMENT "LYCHGATE=$<TARGET_FILE:lychgate>;DEV=${PROJECT_SOURCE_DIR}/dev")
endif()
