/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest of 512 bytes: a boot sector that stamps sectors of one or more disks through the BIOS,
 * for ever, and reports each acknowledged write on the first serial port. It is a whole guest: what
 * it was told is on disk must be there after anything that happens to its disks.
 *
 * Counter n, from `first` on, goes to slot (n & mask) of each disk in turn. A slot is the sector
 * (n & mask) << shift. The sector is filled with 32 equal records of four 32-bit words: MAGIC, n,
 * number of the sector, number of the disk. After the BIOS has said that the write is done the guest
 * sends the line "D NNNNNNNN\n" (disk, counter, hexadecimal). A line without its newline was cut off
 * and means nothing.
 *
 * With `read_back` each slot is read again before it is overwritten, and must hold what was written
 * there last. Any error ends the guest with the line "! NNNNNNNN\n" (written) or "? NNNNNNNN\n" (read).
 *
 * The file guest.c knows the layout of the record and of the parameters at PARAMETERS.
 */
        .code16
        .text
        .set    MAGIC, 0x4b534456       /* "VDSK" */
        .set    RECORDS, 32
        .set    BUFFER, 0x8000          /* what is written */
        .set    CHECK, 0x8200           /* what is read back */
        .set    FIRST_DRIVE, 0x81       /* 0x80 is the disk we come from */
        .set    SERIAL, 0x3f8
        .set    LINE_STATUS, SERIAL + 5
        .set    TRANSMITTER_EMPTY, 0x20

        .globl  _start
_start:
        ljmp    $0, $1f
1:      xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        sti
        cld
        movl    first, %ebp             /* %ebp: counter */

next:   xorb    %bl, %bl                /* %bl: disk */
        movl    %ebp, %eax
        andl    mask, %eax
        movb    shift, %cl
        shll    %cl, %eax
        movl    %eax, lba

write:  cmpb    $0, read_back
        je      2f
        call    read_slot
2:      movl    %ebp, %edx
        call    fill
        movb    $0x43, %ah
        call    disk_io
        movb    $'!', %al
        jc      fail
        call    report
        incb    %bl
        cmpb    disks, %bl
        jb      write
        incl    %ebp
        jmp     next

/* The slot must hold the stamp of the round before; in the first round it may hold anything. */
read_slot:
        movl    %ebp, %edx
        subl    first, %edx
        cmpl    mask, %edx
        jbe     3f
        movl    %ebp, %edx
        subl    mask, %edx
        decl    %edx
        call    fill
        movw    $CHECK, buffer
        movb    $0x42, %ah
        call    disk_io
        movw    $BUFFER, buffer
        jc      4f
        movw    $BUFFER, %si
        movw    $CHECK, %di
        movw    $512 / 4, %cx
        repe    cmpsl
        jne     4f
3:      ret
4:      movb    $'?', %al

fail:   call    send
        call    report_counter
5:      cli
        hlt
        jmp     5b

/* The record of counter %edx for slot and disk into BUFFER. */
fill:
        movw    $BUFFER, %di
        movw    $RECORDS, %cx
6:      movl    $MAGIC, %eax
        stosl
        movl    %edx, %eax
        stosl
        movl    lba, %eax
        stosl
        movzbl  %bl, %eax
        stosl
        loop    6b
        ret

/* %ah: 0x42 read, 0x43 write. Carry: the BIOS reports an error. */
disk_io:
        xorb    %al, %al
        movb    $FIRST_DRIVE, %dl
        addb    %bl, %dl
        movw    $packet, %si
        pushw   %bx
        pushl   %ebp
        int     $0x13
        popl    %ebp
        popw    %bx
        ret

/* "D NNNNNNNN\n" */
report:
        movb    %bl, %al
        call    digit
report_counter:
        movb    $' ', %al
        call    send
        movl    %ebp, %esi
        movw    $8, %cx
7:      roll    $4, %esi
        movw    %si, %ax
        andb    $15, %al
        call    digit
        loop    7b
        movb    $'\n', %al
        jmp     send

digit:
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     send
        addb    $'a' - '9' - 1, %al

send:
        pushw   %ax
        movw    $LINE_STATUS, %dx
8:      inb     %dx, %al
        testb   $TRANSMITTER_EMPTY, %al
        jz      8b
        popw    %ax
        movw    $SERIAL, %dx
        outb    %al, %dx
        ret

/* Disk address packet of the BIOS. */
        .balign 4
packet: .byte   16, 0
        .word   1                       /* sectors */
buffer: .word   BUFFER, 0
lba:    .quad   0

        .org    496                     /* PARAMETERS: the host writes them into the image */
disks:  .byte   1
shift:  .byte   0
read_back:
        .byte   0, 0
mask:   .long   255
first:  .long   1
        .org    510
        .word   0xaa55
