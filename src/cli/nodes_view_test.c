/* Nodes, devices and placements as people see them; what is missing or wrong in an answer shows as nothing. */
#include "cli/nodes_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

static const char nodes_text[] =
	"[{\"name\": \"vm\", \"up\": true, \"state\": \"up\", \"workers\": 3, \"devices\": [{\"id\": \"cpu\", "
	"\"kind\": "
	"\"cpu\", \"model\": \"CPU\", \"source\": \"cpu\", \"slots_used\": 0}]},"
	"{\"name\": \"gpu1\", \"up\": true, \"state\": \"failing\", \"why\": \"a card\\tfell \\u001b[2Joff\", "
	"\"labels\": "
	"[\"a=1\", \"lab\"], \"address\": \"192.0.2.7:4000\", \"version\": \"0.2.0\", \"rtt_us\": 1500, \"workers\": "
	"12, "
	"\"seen_ms\": 5, \"devices\": [{\"id\": \"GPU-1\", \"kind\": \"gpu\", \"model\": \"NVIDIA H200\", \"source\": "
	"\"nvml\", \"memory_mb\": 144384, \"memory_used_mb\": 1024, \"slots_used\": 3, \"mps\": true, "
	"\"utilisation_percent\": 37, \"temperature_c\": 41}, {\"id\": \"cpu\", \"kind\": \"cpu\", \"model\": "
	"\"CPU\"}, "
	"{\"id\": \"GPU-2\", \"kind\": \"gpu\", \"model\": \"NVIDIA H200\", \"source\": \"nvml\", \"mig_mode\": true, "
	"\"slots_used\": 8, \"trouble\": \"fell off the bus\"}]},"
	"{\"name\": \"old\", \"up\": false, \"drained\": true, \"state\": \"away\", \"why\": \"\", \"seen_ms\": "
	"1769860800000, \"workers\": 0, \"devices\": []},"
	"{\"name\": 7, \"devices\": {}, \"labels\": [7]}]";

static json_t *parsed(const char *text)
{
	json_t *j = json_parse(str_from(text), NULL);

	assert_non_null(j);
	return j;
}

static void table(void **state)
{
	_cleanup_json_ json_t *j = parsed(nodes_text);
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	setenv("TZ", "UTC", 1);
	tzset();
	nodes_view(&b, j, -1);
	assert_string_equal(buf_cstr(&b), "NAME  STATE                            LABELS   ADDRESS         VERSION  "
					  "DEVICES       SLOTS      RTT  "
					  "WORKERS  SEEN\n"
					  "vm    up                               -        -               -        1 "
					  "cpu           0/8        -  "
					  "      3  now\n"
					  "gpu1  failing: a card fell \\x1b[2Joff  a=1,lab  192.0.2.7:4000  0.2.0    2 "
					  "gpu, 1 cpu  11/24  1.50 ms  "
					  "     12  now\n"
					  "old   away, drained                    -        -               -        -  "
					  "               -        -  "
					  "      0  2026-01-31 12:00:00\n"
					  "-     away                             -        -               -        -  "
					  "               -        -  "
					  "      0  -\n");
}

static void device_table(void **state)
{
	_cleanup_json_ json_t *j = parsed(nodes_text);
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	nodes_view_devices(&b, j, -1);
	assert_string_equal(
		buf_cstr(&b),
		"NODE  DEVICE  MODEL        KIND     MEMORY     USED  PROMISED  SLOTS  RUNG  UTIL  TEMP  TROUBLE\n"
		"vm    cpu     CPU          cpu           -        -         -    0/8  -        -     -  -\n"
		"gpu1  GPU-1   NVIDIA H200  gpu   144384 MB  1024 MB      0 MB    3/8  mps    37%  41 C  -\n"
		"gpu1  cpu     CPU          cpu           -        -         -    0/8  -        -     -  -\n"
		"gpu1  GPU-2   NVIDIA H200  gpu           -     0 MB         -    8/8  mig     0%   0 C  fell off the "
		"bus\n");
}

static void placement(void **state)
{
	static const struct {
		const char *answer, *text;
	} cases[] = {
		{"{\"function\": \"train\", \"wish\": {\"kinds\": [\"gpu\", \"cpu\"], \"slice\": \"3/8\", "
		 "\"labels\": [\"edge\", \"lab\"], \"device_memory_mb\": 4096, \"memory_mb\": 512, \"park\": false}, "
		 "\"chosen\": {\"node\": \"gpu1\", \"devices\": [{\"id\": "
		 "\"GPU-1\", \"model\": \"NVIDIA H200\", \"slots\": 3, \"memory_mb\": 4096, \"rung\": \"mps\"}]}, "
		 "\"reason\": \"least free\", \"candidates\": [{\"node\": \"gpu1\", \"verdict\": \"fits\", \"chosen\": "
		 "true, \"text\": "
		 "\"5/8 free\"}, {\"node\": \"vm\", \"verdict\": \"unfit\", \"text\": \"has no gpu\"}]}",
		 "train asks for: 3/8 of a gpu, else of a cpu, 4096 MB of its memory, a node labelled edge and lab; it "
		 "is reckoned with 512 MB of a node's memory\n"
		 "It would start on: gpu1: NVIDIA H200 (GPU-1) 3/8, 4096 MB, mps\n"
		 "least free\n"
		 "NODE  VERDICT  WHY\n"
		 "gpu1  chosen   5/8 free\n"
		 "vm    unfit    has no gpu\n"},
		{"{\"function\": \"hello\", \"wish\": {}, \"chosen\": {\"node\": \"vm\", \"devices\": []}}",
		 "hello asks for: no device\nIt would start on: vm\n"},
		{"{\"function\": \"hello\", \"wish\": {\"kinds\": [\"gpu\"], \"slice\": \"2 devices\"}, \"chosen\": "
		 "null, \"reason\": \"no node is up\", "
		 "\"candidates\": []}",
		 "hello asks for: 2 devices of kind gpu\nIt would start on: nowhere\nno node is up\n"},
		{"{\"function\": \"hello\", \"wish\": {}, \"chosen\": null, \"makes_way\": {\"node\": \"vm\", "
		 "\"function\": \"other\", \"how\": \"parked\"}}",
		 "hello asks for: no device\nIt would start on: vm, where an idle worker of other is parked for it\n"},
		{"{\"function\": \"hello\", \"wish\": {}, \"chosen\": null, \"makes_way\": {\"node\": \"vm\", "
		 "\"function\": \"other\", \"how\": \"leaves\"}}",
		 "hello asks for: no device\nIt would start on: vm, once a worker of other that leaves is gone\n"},
		{"{}", "- asks for: no device\nIt would start on: nowhere\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *j = parsed(cases[i].answer);
		_cleanup_(buf_done) struct buf b = BUF_NULL;

		place_view(&b, j, -1);
		assert_string_equal(buf_cstr(&b), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(device_table),
		cmocka_unit_test(placement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
