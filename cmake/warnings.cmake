# SPDX-License-Identifier: Apache-2.0
add_library(lych_flags INTERFACE)
target_compile_options(lych_flags INTERFACE
	-Wall -Wextra -Wshadow -Wvla -Wundef
	$<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
	-fstack-protector-strong -fno-omit-frame-pointer)
target_compile_definitions(lych_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
if(NOT LYCH_SANITIZE)
	target_compile_definitions(lych_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
if(LYCH_WERROR)
	target_compile_options(lych_flags INTERFACE -Werror)
endif()
if(LYCH_SANITIZE)
	target_compile_options(lych_flags INTERFACE -fsanitize=${LYCH_SANITIZE} -fno-sanitize-recover=undefined)
	target_link_options(lych_flags INTERFACE -fsanitize=${LYCH_SANITIZE})
endif()
if(LYCH_FUZZ)
	# Coverage in everything; main() comes from libFuzzer in the fuzz targets only.
	target_compile_options(lych_flags INTERFACE -fsanitize=fuzzer-no-link)
	target_link_options(lych_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
