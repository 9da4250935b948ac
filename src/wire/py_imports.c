/* Looks for import statements line by line. Keeps nothing; nothing can fail: what it does not understand names nothing.
 */
#include "wire/py_imports.h"

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct str skip_blanks(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\f'))
		s = str_sub(s, 1, s.n);
	return s;
}

static struct str take_name(struct str *s)
{
	struct str name = {s->p, 0};

	while (name.n < s->n && is_name(s->p[name.n]))
		name.n++;
	*s = str_sub(*s, name.n, s->n);
	return name;
}

/* "word" and a blank after it. */
static bool take_word(struct str *s, const char *word)
{
	struct str rest = *s, name = take_name(&rest);

	if (!str_eqz(name, word) || !rest.n || (rest.p[0] != ' ' && rest.p[0] != '\t'))
		return false;
	*s = skip_blanks(rest);
	return true;
}

/* a.b as c, d */
static void import_list(struct str s, void (*each)(void *arg, struct str name), void *arg)
{
	for (;;) {
		struct str one, name;

		s = skip_blanks(s);
		str_cut(s, ',', &one, &s);
		name = take_name(&one);
		if (name.n && !(name.p[0] >= '0' && name.p[0] <= '9'))
			each(arg, name);
		if (!s.n)
			return;
	}
}

void py_imports(struct str source, void (*each)(void *arg, struct str name), void *arg)
{
	struct str line;

	while (source.n) {
		str_cut(source, '\n', &line, &source);
		line = skip_blanks(line);
		if (take_word(&line, "import"))
			import_list(line, each, arg);
		else if (take_word(&line, "from") && line.n && line.p[0] != '.')
			import_list(str_sub(line, 0, take_name(&(struct str){line.p, line.n}).n), each, arg);
	}
}
