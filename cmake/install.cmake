# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

install(DIRECTORY include/lychgate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS lychscan lychgate_headers EXPORT lychgate)
install(FILES $<TARGET_FILE:lychscan_static> DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT lychgate NAMESPACE lychgate:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lychgate
	FILE lychgateConfig.cmake)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lychgateConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
configure_file(cmake/lychscan.pc.in ${PROJECT_BINARY_DIR}/lychscan.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lychgateConfigVersion.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lychgate)
install(FILES ${PROJECT_BINARY_DIR}/lychscan.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
include(cmake/install-command.cmake OPTIONAL)
