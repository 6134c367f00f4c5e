# SPDX-License-Identifier: Apache-2.0
# A directory with libcapstone.so.5 and include/capstone, as Debian 13's packages have them, unpacked beside the
# system's version: scanner_objects_capstone5 is then the scanner compiled against it. Tests only.
set(LYCH_CAPSTONE5 "$ENV{LYCH_CAPSTONE5}" CACHE PATH "directory with libcapstone.so.5 and include/capstone")
if(LYCH_TESTS AND LYCH_CAPSTONE5)
	if(NOT EXISTS ${LYCH_CAPSTONE5}/libcapstone.so.5 OR NOT EXISTS ${LYCH_CAPSTONE5}/include/capstone/capstone.h)
		message(FATAL_ERROR "LYCH_CAPSTONE5=${LYCH_CAPSTONE5} holds no libcapstone.so.5 with include/capstone")
	endif()
	add_library(capstone5 SHARED IMPORTED)
	set_target_properties(capstone5 PROPERTIES IMPORTED_LOCATION ${LYCH_CAPSTONE5}/libcapstone.so.5
		INTERFACE_INCLUDE_DIRECTORIES ${LYCH_CAPSTONE5}/include/capstone)
	get_target_property(sources scanner_objects SOURCES)
	add_library(scanner_objects_capstone5 OBJECT ${sources})
	target_link_libraries(scanner_objects_capstone5 PUBLIC lychgate_headers capstone5 PRIVATE lych_flags)
endif()
