/* SPDX-License-Identifier: Apache-2.0 */
/* The page, as the program carries it. */
.macro file name path
	.globl \name, \name\()_end
	.hidden \name, \name\()_end
	.type \name, @object
\name:
	.incbin "\path"
\name\()_end:
	.byte 0
	.size \name, . - \name
.endm
.section .rodata
file page_html page.html
file page_js page.js
file page_css page.css
.section .note.GNU-stack, "", @progbits
