# SPDX-License-Identifier: Apache-2.0
#
# lych_vm_test(TARGET [KERNELS 6.1 6.12] [NO_PKU] [TIMEOUT SECONDS] [VM_ARGS ...]): runs a gtest binary in
# the PKU machine, one boot for each kernel, and shows each of its cases as a test of its own:
#
#   vm.6.1.TARGET.boot        boots, runs the whole binary, keeps what it wrote
#   vm.6.1.TARGET.Suite.Case  reads the result of one case out of that; no result is a failure
#   vm.6.1.TARGET.end         the binary itself ended well
#
# Called where TARGET was made. Two boots at most run at a time: one for each kernel.
set(LYCH_VM_TEST_DIR ${CMAKE_CURRENT_LIST_DIR})

function(lych_vm_test target)
	cmake_parse_arguments(arg "NO_PKU" "TIMEOUT" "KERNELS;VM_ARGS" ${ARGN})
	if(NOT arg_KERNELS)
		set(arg_KERNELS 6.1 6.12)
	endif()
	if(NOT arg_TIMEOUT)
		set(arg_TIMEOUT 300)
	endif()
	set(suffix "")
	if(arg_NO_PKU)
		list(APPEND arg_VM_ARGS --no-pku)
		set(suffix "-nopku")
	endif()
	set(base ${CMAKE_CURRENT_BINARY_DIR}/${target}-vm${suffix})
	set(lists "")
	foreach(kernel ${arg_KERNELS})
		set(list ${base}-${kernel}.cmake)
		add_custom_command(TARGET ${target} POST_BUILD VERBATIM BYPRODUCTS ${list}
			COMMAND ${CMAKE_COMMAND} -D binary=$<TARGET_FILE:${target}>
				-D name=vm.${kernel}${suffix}.${target}
				-D kernel=${kernel} -D log=${base}-${kernel} -D timeout=${arg_TIMEOUT}
				"-D vm_args=${arg_VM_ARGS}" -D list=${list} -P ${LYCH_VM_TEST_DIR}/discover.cmake)
		file(CONFIGURE OUTPUT ${base}-${kernel}-include.cmake @ONLY CONTENT
"if(EXISTS [==[@list@]==])
	include([==[@list@]==])
else()
	add_test(vm.@kernel@@suffix@.@target@.NOT_BUILT false)
endif()
")
		set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${base}-${kernel}-include.cmake)
	endforeach()
endfunction()
