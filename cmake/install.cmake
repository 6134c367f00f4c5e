# SPDX-License-Identifier: Apache-2.0
install(DIRECTORY include/lychgate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
