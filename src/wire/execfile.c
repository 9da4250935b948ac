/* Reads ELF headers (System V ABI) and the line of #!. Views into the caller's bytes; nothing fails: what is not
 * understood is EXECFILE_OTHER, and an interpreter that is not within the bytes is absent. */
#include "wire/execfile.h"

#include <elf.h>

#if defined(__x86_64__)
#define MACHINE_HERE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE_HERE EM_AARCH64
#elif defined(__riscv)
#define MACHINE_HERE EM_RISCV
#elif defined(__powerpc64__)
#define MACHINE_HERE EM_PPC64
#elif defined(__s390x__)
#define MACHINE_HERE EM_S390
#else
#error "the ELF machine of this processor is to be added"
#endif
#define DATA_HERE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

static void look_script(struct execfile *ret, struct str head)
{
	struct str line;

	ret->kind = EXECFILE_SCRIPT;
	str_cut(str_sub(head, 2, SIZE_MAX), '\n', &line, &(struct str){0});
	line = str_trim(line);
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == ' ' || line.p[i] == '\t')
			line.n = i;
	ret->interpreter = line;
}

static void look_elf64(struct execfile *ret, struct str head)
{
	Elf64_Ehdr eh;

	if (head.n < sizeof(eh))
		return;
	memcpy(&eh, head.p, sizeof(eh));
	for (size_t i = 0; i < eh.e_phnum && eh.e_phentsize >= sizeof(Elf64_Phdr); i++) {
		Elf64_Phdr ph;
		size_t at = i * eh.e_phentsize;

		if (eh.e_phoff > head.n || at + sizeof(ph) > head.n - eh.e_phoff)
			return;
		memcpy(&ph, head.p + eh.e_phoff + at, sizeof(ph));
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_offset < head.n && ph.p_filesz > 0 && ph.p_filesz <= head.n - ph.p_offset)
			ret->interpreter = str_n(head.p + ph.p_offset, strnlen(head.p + ph.p_offset, ph.p_filesz));
		return;
	}
}

void execfile_look(struct execfile *ret, struct str head)
{
	*ret = (struct execfile){.kind = EXECFILE_OTHER};
	if (str_starts(head, STR("#!"))) {
		look_script(ret, head);
		return;
	}
	if (head.n < sizeof(Elf32_Ehdr) || memcmp(head.p, ELFMAG, SELFMAG) != 0)
		return;
	ret->kind = EXECFILE_ELF;
	ret->machine = head.p[EI_DATA] == ELFDATA2MSB ? (uint16_t)((uint8_t)head.p[18] << 8 | (uint8_t)head.p[19])
						      : (uint16_t)((uint8_t)head.p[19] << 8 | (uint8_t)head.p[18]);
	ret->ours = ret->machine == MACHINE_HERE && head.p[EI_CLASS] == ELFCLASS64 && head.p[EI_DATA] == DATA_HERE;
	if (ret->ours)
		look_elf64(ret, head);
}

const char *execfile_machine_name(uint16_t machine)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{EM_386, "i386"},        {EM_X86_64, "x86_64"}, {EM_ARM, "32-bit ARM"},
		{EM_AARCH64, "aarch64"}, {EM_RISCV, "RISC-V"},  {EM_PPC, "32-bit PowerPC"},
		{EM_PPC64, "ppc64"},     {EM_S390, "s390x"},    {EM_MIPS, "MIPS"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return NULL;
}

const char *execfile_machine_here(void)
{
	return execfile_machine_name(MACHINE_HERE);
}
