# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

install(DIRECTORY include/lychgate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS lychscan lychgate_shared lychgate_headers EXPORT lychgate)
# Found by pkg-config --static, which knows what they need; not exported to CMake, which would have to look for it.
install(FILES $<TARGET_FILE:lychscan_static> $<TARGET_FILE:lychgate_static> DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT lychgate NAMESPACE lychgate:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lychgate
	FILE lychgateConfig.cmake)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lychgateConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
# Wherever it is installed in the end (cmake --install --prefix, DESTDIR), pkg-config finds it from where the file lies.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
	set(lychgate_pc_prefix ${CMAKE_INSTALL_PREFIX})
	set(lychgate_pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
	set(lychgate_pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
	file(RELATIVE_PATH lychgate_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
	string(REGEX REPLACE "/$" "" lychgate_pc_prefix "\${pcfiledir}/${lychgate_pc_prefix}")
	set(lychgate_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
	set(lychgate_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
foreach(library lychscan lychgate)
	configure_file(cmake/${library}.pc.in ${PROJECT_BINARY_DIR}/${library}.pc @ONLY)
	install(FILES ${PROJECT_BINARY_DIR}/${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/lychgateConfigVersion.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lychgate)
include(cmake/install-command.cmake OPTIONAL)
