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
foreach(library lychscan lychgate)
	configure_file(cmake/${library}.pc.in ${PROJECT_BINARY_DIR}/${library}.pc @ONLY)
	install(FILES ${PROJECT_BINARY_DIR}/${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/lychgateConfigVersion.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lychgate)
include(cmake/install-command.cmake OPTIONAL)
