/* The vDSO image, built apart and embedded whole. */
    .section .rodata
    .balign 4096
    .globl g_vdso_image_start, g_vdso_image_end
    .hidden g_vdso_image_start, g_vdso_image_end
g_vdso_image_start:
    .incbin VDSO_IMAGE_PATH
g_vdso_image_end:
    .balign 8
    .section .note.GNU-stack,"",@progbits
