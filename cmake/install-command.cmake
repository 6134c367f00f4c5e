# SPDX-License-Identifier: Apache-2.0
# The command, its man pages and its completion.
install(TARGETS lychgate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
file(GLOB lychgate_man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/scanner/cmd/man/*.1)
install(FILES ${lychgate_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${PROJECT_SOURCE_DIR}/scanner/cmd/man/lychgate-policy.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES ${PROJECT_SOURCE_DIR}/scanner/cmd/completion/lychgate
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${PROJECT_SOURCE_DIR}/scanner/cmd/SCHEMA.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
