/* A matrix multiplication on the device whose slice the function holds, by OpenCL: C = A x B, checked on the CPU, with
 * the time that the device took. The event is {"n": 1024, "repeat": 3}; both may be left out.
 *
 *	cc -O2 -shared -fPIC -o matmul.so matmul.c -ldl
 *
 * OpenCL is opened at run time and declared here, so neither its headers nor its library are needed to build. Names and
 * numbers are those of the OpenCL specification (https://registry.khronos.org/OpenCL/). The device, the queue and the
 * compiled program are kept from one invocation to the next, as a model would be. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <wick.h>

/* ---- what is used of OpenCL ---- */

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef void *cl_object; /* platforms, devices, contexts, queues, programs, kernels, buffers, events */

#define CL_DEVICE_TYPE_CPU         ((cl_ulong)1 << 1)
#define CL_DEVICE_TYPE_GPU         ((cl_ulong)1 << 2)
#define CL_DEVICE_TYPE_ACCELERATOR ((cl_ulong)1 << 3)
#define CL_DEVICE_TYPE_ALL         ((cl_ulong)0xFFFFFFFF)
#define CL_PLATFORM_NAME           0x0902
#define CL_DEVICE_TYPE             0x1000
#define CL_DEVICE_MAX_WORK_GROUP   0x1004
#define CL_DEVICE_NAME             0x102B
#define CL_DEVICE_VENDOR           0x102C
#define CL_DRIVER_VERSION          0x102D
#define CL_DEVICE_UUID_KHR         0x106A /* cl_khr_device_uuid */
#define CL_DEVICE_PCI_BUS_INFO_KHR 0x410F /* cl_khr_pci_bus_info */
#define CL_DEVICE_PCI_BUS_ID_NV    0x4008 /* cl_nv_device_attribute_query */
#define CL_DEVICE_PCI_SLOT_ID_NV   0x4009
#define CL_DEVICE_PCI_DOMAIN_ID_NV 0x400A
#define CL_QUEUE_PROFILING_ENABLE  ((cl_ulong)1 << 1)
#define CL_MEM_WRITE_ONLY          ((cl_ulong)1 << 1)
#define CL_MEM_READ_ONLY           ((cl_ulong)1 << 2)
#define CL_PROGRAM_BUILD_LOG       0x1183
#define CL_PROFILING_COMMAND_START 0x1282
#define CL_PROFILING_COMMAND_END   0x1283

#define OPENCL(X)                                                                                                      \
	X(cl_int, clGetPlatformIDs, (cl_uint, cl_object *, cl_uint *))                                                 \
	X(cl_int, clGetPlatformInfo, (cl_object, cl_uint, size_t, void *, size_t *))                                   \
	X(cl_int, clGetDeviceIDs, (cl_object, cl_ulong, cl_uint, cl_object *, cl_uint *))                              \
	X(cl_int, clGetDeviceInfo, (cl_object, cl_uint, size_t, void *, size_t *))                                     \
	X(cl_object, clCreateContext, (const intptr_t *, cl_uint, const cl_object *, void *, void *, cl_int *))        \
	X(cl_object, clCreateCommandQueue, (cl_object, cl_object, cl_ulong, cl_int *))                                 \
	X(cl_object, clCreateProgramWithSource, (cl_object, cl_uint, const char **, const size_t *, cl_int *))         \
	X(cl_int, clBuildProgram, (cl_object, cl_uint, const cl_object *, const char *, void *, void *))               \
	X(cl_int, clGetProgramBuildInfo, (cl_object, cl_object, cl_uint, size_t, void *, size_t *))                    \
	X(cl_object, clCreateKernel, (cl_object, const char *, cl_int *))                                              \
	X(cl_object, clCreateBuffer, (cl_object, cl_ulong, size_t, void *, cl_int *))                                  \
	X(cl_int, clSetKernelArg, (cl_object, cl_uint, size_t, const void *))                                          \
	X(cl_int, clEnqueueWriteBuffer,                                                                                \
	  (cl_object, cl_object, cl_uint, size_t, size_t, const void *, cl_uint, const cl_object *, cl_object *))      \
	X(cl_int, clEnqueueReadBuffer,                                                                                 \
	  (cl_object, cl_object, cl_uint, size_t, size_t, void *, cl_uint, const cl_object *, cl_object *))            \
	X(cl_int, clEnqueueNDRangeKernel,                                                                              \
	  (cl_object, cl_object, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint, const cl_object *,  \
	   cl_object *))                                                                                               \
	X(cl_int, clWaitForEvents, (cl_uint, const cl_object *))                                                       \
	X(cl_int, clGetEventProfilingInfo, (cl_object, cl_uint, size_t, void *, size_t *))                             \
	X(cl_int, clFinish, (cl_object))                                                                               \
	X(cl_int, clReleaseEvent, (cl_object))                                                                         \
	X(cl_int, clReleaseMemObject, (cl_object))                                                                     \
	X(cl_int, clReleaseKernel, (cl_object))                                                                        \
	X(cl_int, clReleaseProgram, (cl_object))                                                                       \
	X(cl_int, clReleaseCommandQueue, (cl_object))                                                                  \
	X(cl_int, clReleaseContext, (cl_object))

static struct {
#define MEMBER(type, name, parameters) type(*name) parameters;
	OPENCL(MEMBER)
#undef MEMBER
} cl;

/* Tiles of both matrices lie in local memory: each element is fetched n / TILE times instead of n. */
static const char source[] =
	"__kernel __attribute__((reqd_work_group_size(TILE, TILE, 1)))\n"
	"void matmul(const uint n, __global const float *a, __global const float *b, __global float *c)\n"
	"{\n"
	"	__local float at[TILE][TILE], bt[TILE][TILE];\n"
	"	const uint x = get_global_id(0), y = get_global_id(1), i = get_local_id(0), j = get_local_id(1);\n"
	"	float sum = 0;\n"
	"\n"
	"	for (uint from = 0; from < n; from += TILE) {\n"
	"		at[j][i] = y < n && from + i < n ? a[y * n + from + i] : 0;\n"
	"		bt[j][i] = x < n && from + j < n ? b[(from + j) * n + x] : 0;\n"
	"		barrier(CLK_LOCAL_MEM_FENCE);\n"
	"		for (uint k = 0; k < TILE; k++)\n"
	"			sum += at[j][k] * bt[k][i];\n"
	"		barrier(CLK_LOCAL_MEM_FENCE);\n"
	"	}\n"
	"	if (x < n && y < n)\n"
	"		c[y * n + x] = sum;\n"
	"}\n";

#define N_MAX       4096 /* sums of products of numbers up to VALUE_MAX are whole numbers that a float holds exactly */
#define VALUE_MAX   8
#define SUM_MAX     (VALUE_MAX * VALUE_MAX * N_MAX)
#define REPEAT_MAX  100
#define DEVICES_MAX 64

/* What is kept between invocations. */
static struct {
	pthread_mutex_t lock; /* one invocation at a time uses the device */
	bool open;
	cl_object device, context, queue, program, kernel;
	size_t tile;
	char name[256], vendor[256], driver[128], platform[256];
	const char *kind, *chosen_by;
	uint64_t uses;
} gpu = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct failure {
	const char *type;
	char text[2048];
};

static int fail(struct failure *f, const char *type, const char *format, ...)
{
	va_list ap;

	f->type = type;
	va_start(ap, format);
	vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
	return -1;
}

static int load(struct failure *f)
{
	void *library = dlopen("libOpenCL.so.1", RTLD_NOW);

	if (!library)
		return fail(
			f, "Gpu.NoOpenCL",
			"there is no OpenCL here (%s). Install ocl-icd-libopencl1 on the node, and the driver's OpenCL "
			"or, for the CPU, pocl-opencl-icd",
			dlerror());
#define LOOK_UP(type, name, parameters)                                                                                \
	cl.name = (type(*) parameters)dlsym(library, #name);                                                           \
	if (!cl.name)                                                                                                  \
		return fail(f, "Gpu.NoOpenCL", "libOpenCL.so.1 has no %s", #name);
	OPENCL(LOOK_UP)
#undef LOOK_UP
	return 0;
}

/* ---- which device ---- */

struct candidate {
	cl_object device, platform;
	cl_ulong type;
	char name[256];
	unsigned on_platform, of_platform; /* their numbers: the second device of the first platform is 0, 1 */
};

static size_t find_all(struct candidate *all)
{
	cl_object platforms[DEVICES_MAX], devices[DEVICES_MAX];
	cl_uint n_platforms = 0, n_devices;
	size_t n = 0;

	if (cl.clGetPlatformIDs(DEVICES_MAX, platforms, &n_platforms) != 0)
		return 0;
	for (cl_uint p = 0; p < n_platforms && p < DEVICES_MAX; p++) {
		if (cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices, &n_devices) != 0)
			continue;
		for (cl_uint d = 0; d < n_devices && n < DEVICES_MAX; d++) {
			struct candidate *c = &all[n++];

			*c = (struct candidate){
				.device = devices[d], .platform = platforms[p], .of_platform = p, .on_platform = d};
			cl.clGetDeviceInfo(c->device, CL_DEVICE_TYPE, sizeof(c->type), &c->type, NULL);
			cl.clGetDeviceInfo(c->device, CL_DEVICE_NAME, sizeof(c->name) - 1, c->name, NULL);
		}
	}
	return n;
}

static const char *kind_name(cl_ulong type)
{
	return type & CL_DEVICE_TYPE_GPU           ? "gpu"
	       : type & CL_DEVICE_TYPE_ACCELERATOR ? "accelerator"
	       : type & CL_DEVICE_TYPE_CPU         ? "cpu"
						   : "other";
}

/* "0000:01:00.0", by whichever extension the device has. */
static bool pci_address(const struct candidate *c, char *text, size_t n)
{
	cl_uint khr[4], domain = 0, bus, slot; /* domain, bus, device, function */

	if (cl.clGetDeviceInfo(c->device, CL_DEVICE_PCI_BUS_INFO_KHR, sizeof(khr), khr, NULL) == 0)
		return snprintf(text, n, "%04x:%02x:%02x.%x", khr[0], khr[1], khr[2], khr[3]) > 0;
	if (cl.clGetDeviceInfo(c->device, CL_DEVICE_PCI_BUS_ID_NV, sizeof(bus), &bus, NULL) != 0 ||
	    cl.clGetDeviceInfo(c->device, CL_DEVICE_PCI_SLOT_ID_NV, sizeof(slot), &slot, NULL) != 0)
		return false;
	cl.clGetDeviceInfo(c->device, CL_DEVICE_PCI_DOMAIN_ID_NV, sizeof(domain), &domain, NULL);
	return snprintf(text, n, "%04x:%02x:%02x.%x", domain, bus, slot >> 3, slot & 7) > 0;
}

/* "GPU-01234567-89ab-...", as NVIDIA's tools write it. */
static bool uuid(const struct candidate *c, char *text, size_t n)
{
	uint8_t u[16];

	if (cl.clGetDeviceInfo(c->device, CL_DEVICE_UUID_KHR, sizeof(u), u, NULL) != 0)
		return false;
	return snprintf(text, n, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
			u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]) > 0;
}

/* WICK_DEVICE names the device that the function holds a slice of, as Wick's node does: its kind, a UUID, a PCI address
 * with or without "pci-", "opencl-PLATFORM-DEVICE"; or as a person might: its number in the order of OpenCL, or a part
 * of its name. */
static bool is_named(const struct candidate *c, size_t number, const char *wanted)
{
	char text[64];
	unsigned platform, device;

	if (strcasecmp(wanted, kind_name(c->type)) == 0)
		return true;
	if (sscanf(wanted, "opencl-%u-%u", &platform, &device) == 2)
		return c->of_platform == platform && c->on_platform == device;
	if (wanted[strspn(wanted, "0123456789")] == '\0')
		return strtoul(wanted, NULL, 10) == number;
	if (uuid(c, text, sizeof(text)) && strcasecmp(wanted, text) == 0)
		return true;
	if (pci_address(c, text, sizeof(text)) &&
	    strcasecmp(strncmp(wanted, "pci-", 4) == 0 ? wanted + 4 : wanted, text) == 0)
		return true;
	return strcasestr(c->name, wanted) != NULL;
}

/* UUIDs of MIG instances, and addresses with some drivers, are not told by OpenCL. A box shows a worker no GPU but its
 * own, so where there is one only, that is the one which is named. */
static const struct candidate *only_gpu(const struct candidate *all, size_t n, const char *wanted)
{
	const struct candidate *found = NULL;

	if (strncmp(wanted, "GPU-", 4) != 0 && strncmp(wanted, "MIG-", 4) != 0 && strncmp(wanted, "pci-", 4) != 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (!(all[i].type & CL_DEVICE_TYPE_GPU))
			continue;
		if (found)
			return NULL;
		found = &all[i];
	}
	return found;
}

static const struct candidate *choose(const struct candidate *all, size_t n, struct failure *f)
{
	static const cl_ulong order[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR, CL_DEVICE_TYPE_CPU};
	const char *wanted = getenv("WICK_DEVICE");
	const struct candidate *only;
	size_t used;

	if (n == 0) {
		fail(f, "Gpu.NoDevice",
		     "OpenCL is here, but no device of it: is the driver's OpenCL installed (/etc/OpenCL/vendors)?");
		return NULL;
	}
	if (wanted && *wanted) {
		gpu.chosen_by = "WICK_DEVICE";
		for (size_t i = 0; i < n; i++)
			if (is_named(&all[i], i, wanted))
				return &all[i];
		only = only_gpu(all, n, wanted);
		if (only) {
			gpu.chosen_by = "WICK_DEVICE, as the only GPU here";
			return only;
		}
		fail(f, "Gpu.NoDevice", "WICK_DEVICE is %.100s, and OpenCL has only:", wanted);
		for (size_t i = 0; i < n && (used = strlen(f->text)) < sizeof(f->text) - 1; i++)
			snprintf(f->text + used, sizeof(f->text) - used, "%s %zu %s (%s)", i ? "," : "", i, all[i].name,
				 kind_name(all[i].type));
		return NULL;
	}
	gpu.chosen_by = "the function itself: WICK_DEVICE is not set";
	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++)
		for (size_t i = 0; i < n; i++)
			if (all[i].type & order[k])
				return &all[i];
	return &all[0];
}

/* ---- opening it ---- */

static void close_device(void)
{
	if (gpu.kernel)
		cl.clReleaseKernel(gpu.kernel);
	if (gpu.program)
		cl.clReleaseProgram(gpu.program);
	if (gpu.queue)
		cl.clReleaseCommandQueue(gpu.queue);
	if (gpu.context)
		cl.clReleaseContext(gpu.context);
	gpu.kernel = gpu.program = gpu.queue = gpu.context = NULL;
}

static int build(struct failure *f)
{
	const char *text = source;
	char options[64], log[1024] = "";
	size_t most = 0;
	cl_int r;

	cl.clGetDeviceInfo(gpu.device, CL_DEVICE_MAX_WORK_GROUP, sizeof(most), &most, NULL);
	for (gpu.tile = 16; gpu.tile > 1 && gpu.tile * gpu.tile > most;)
		gpu.tile /= 2;
	gpu.program = cl.clCreateProgramWithSource(gpu.context, 1, &text, NULL, &r);
	if (!gpu.program)
		return fail(f, "Gpu.Failed", "OpenCL takes no program (%d)", r);
	snprintf(options, sizeof(options), "-DTILE=%zu", gpu.tile);
	r = cl.clBuildProgram(gpu.program, 1, &gpu.device, options, NULL, NULL);
	if (r != 0) {
		cl.clGetProgramBuildInfo(gpu.program, gpu.device, CL_PROGRAM_BUILD_LOG, sizeof(log) - 1, log, NULL);
		return fail(f, "Gpu.Failed", "%s cannot build the program (%d): %s", gpu.name, r, log);
	}
	gpu.kernel = cl.clCreateKernel(gpu.program, "matmul", &r);
	return gpu.kernel ? 0 : fail(f, "Gpu.Failed", "OpenCL makes no kernel (%d)", r);
}

static int open_device(struct failure *f)
{
	struct candidate all[DEVICES_MAX];
	const struct candidate *c;
	cl_int r;

	if (load(f) < 0 || !(c = choose(all, find_all(all), f)))
		return -1;
	gpu.device = c->device;
	gpu.kind = kind_name(c->type);
	memcpy(gpu.name, c->name, sizeof(gpu.name));
	cl.clGetDeviceInfo(c->device, CL_DEVICE_VENDOR, sizeof(gpu.vendor) - 1, gpu.vendor, NULL);
	cl.clGetDeviceInfo(c->device, CL_DRIVER_VERSION, sizeof(gpu.driver) - 1, gpu.driver, NULL);
	cl.clGetPlatformInfo(c->platform, CL_PLATFORM_NAME, sizeof(gpu.platform) - 1, gpu.platform, NULL);
	gpu.context = cl.clCreateContext(NULL, 1, &gpu.device, NULL, NULL, &r);
	if (!gpu.context)
		return fail(f, "Gpu.Failed", "%s cannot be used (%d)", gpu.name, r);
	gpu.queue = cl.clCreateCommandQueue(gpu.context, gpu.device, CL_QUEUE_PROFILING_ENABLE, &r);
	if (!gpu.queue)
		return fail(f, "Gpu.Failed", "%s gives no queue (%d)", gpu.name, r);
	return build(f);
}

/* ---- the work ---- */

struct work {
	cl_uint n, repeat;
	float *a, *b, *c;
	cl_object buffers[3];
	double device_ms; /* of the fastest run */
	int64_t error;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static int run_once(struct work *w, struct failure *f)
{
	size_t side = (w->n + gpu.tile - 1) / gpu.tile * gpu.tile;
	const size_t global[2] = {side, side}, local[2] = {gpu.tile, gpu.tile};
	cl_ulong begun = 0, ended = 0;
	cl_object event = NULL;
	cl_int r;
	double ms;

	r = cl.clEnqueueNDRangeKernel(gpu.queue, gpu.kernel, 2, NULL, global, local, 0, NULL, &event);
	if (r == 0)
		r = cl.clWaitForEvents(1, &event);
	if (r == 0)
		r = cl.clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof(begun), &begun, NULL);
	if (r == 0)
		r = cl.clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(ended), &ended, NULL);
	if (event)
		cl.clReleaseEvent(event);
	if (r != 0)
		return fail(f, "Gpu.Failed", "%s does not run the kernel (%d)", gpu.name, r);
	ms = (double)(ended - begun) / 1e6;
	if (w->device_ms == 0 || ms < w->device_ms)
		w->device_ms = ms;
	return 0;
}

static int compute(struct work *w, struct failure *f)
{
	size_t bytes = (size_t)w->n * w->n * sizeof(float);
	cl_int r = 0;

	for (int i = 0; i < 3; i++) {
		w->buffers[i] =
			cl.clCreateBuffer(gpu.context, i < 2 ? CL_MEM_READ_ONLY : CL_MEM_WRITE_ONLY, bytes, NULL, &r);
		if (!w->buffers[i])
			return fail(f, "Gpu.NoMemory", "%s gives no %zu bytes of memory (%d)", gpu.name, bytes, r);
	}
	r = cl.clEnqueueWriteBuffer(gpu.queue, w->buffers[0], 1, 0, bytes, w->a, 0, NULL, NULL);
	if (r == 0)
		r = cl.clEnqueueWriteBuffer(gpu.queue, w->buffers[1], 1, 0, bytes, w->b, 0, NULL, NULL);
	if (r == 0)
		r = cl.clSetKernelArg(gpu.kernel, 0, sizeof(w->n), &w->n);
	for (cl_uint i = 0; r == 0 && i < 3; i++)
		r = cl.clSetKernelArg(gpu.kernel, i + 1, sizeof(cl_object), &w->buffers[i]);
	if (r != 0)
		return fail(f, "Gpu.Failed", "%s does not take the matrices (%d)", gpu.name, r);
	for (cl_uint i = 0; i < w->repeat; i++)
		if (run_once(w, f) < 0)
			return -1;
	r = cl.clEnqueueReadBuffer(gpu.queue, w->buffers[2], 1, 0, bytes, w->c, 0, NULL, NULL);
	return r == 0 ? 0 : fail(f, "Gpu.Failed", "%s does not give the result (%d)", gpu.name, r);
}

/* The largest difference between C x and A (B x) for a random x. All numbers are whole and small enough to be exact, so
 * a right result has the error 0, and a wrong element anywhere is seen unless x hides it (one chance in a million). */
static int check(struct work *w, uint32_t *seed, struct failure *f)
{
	size_t n = w->n;
	int64_t *x = malloc(n * sizeof(*x)), *bx = malloc(n * sizeof(*bx));

	if (!x || !bx) {
		free(x);
		free(bx);
		return fail(f, "Gpu.NoMemory", "no memory to check the result");
	}
	for (size_t i = 0; i < n; i++)
		x[i] = next_random(seed) >> 12;
	for (size_t y = 0; y < n; y++) {
		bx[y] = 0;
		for (size_t i = 0; i < n; i++)
			bx[y] += (int64_t)w->b[y * n + i] * x[i];
	}
	for (size_t y = 0; y < n; y++) {
		int64_t d = 0;

		for (size_t i = 0; i < n; i++) {
			float c = w->c[y * n + i];

			if (!(c >= -SUM_MAX && c <= SUM_MAX) || c != (float)(int32_t)c) {
				w->error = INT64_MAX;
				continue;
			}
			d += (int64_t)c * x[i] - (int64_t)w->a[y * n + i] * bx[i];
		}
		w->error = llabs(d) > w->error ? llabs(d) : w->error;
	}
	free(x);
	free(bx);
	return 0;
}

static int multiply(struct work *w, struct failure *f)
{
	size_t count = (size_t)w->n * w->n;
	uint32_t seed = (uint32_t)now_ms() | 1;

	w->a = malloc(count * sizeof(float));
	w->b = malloc(count * sizeof(float));
	w->c = calloc(count, sizeof(float));
	if (!w->a || !w->b || !w->c)
		return fail(f, "Gpu.NoMemory", "no memory for matrices of %u x %u: raise MemorySize", w->n, w->n);
	for (size_t i = 0; i < count; i++) {
		w->a[i] = (float)((int)(next_random(&seed) % (2 * VALUE_MAX + 1)) - VALUE_MAX);
		w->b[i] = (float)((int)(next_random(&seed) % (2 * VALUE_MAX + 1)) - VALUE_MAX);
	}
	return compute(w, f) < 0 ? -1 : check(w, &seed, f);
}

static void work_done(struct work *w)
{
	for (int i = 0; i < 3; i++)
		if (w->buffers[i])
			cl.clReleaseMemObject(w->buffers[i]);
	free(w->a);
	free(w->b);
	free(w->c);
}

/* ---- event and answer ---- */

/* Past the end of a JSON string that begins at s. */
static const char *skip_string(const char *s)
{
	for (s++; *s && *s != '"'; s++)
		if (*s == '\\' && s[1])
			s++;
	return *s ? s + 1 : s;
}

/* A whole number that the event, a JSON object, has under this key; *ret stays where it has none. */
static int number(const char *event, const char *key, cl_uint max, cl_uint *ret, struct failure *f)
{
	size_t n = strlen(key);
	int depth = 0;

	for (const char *s = event; *s;) {
		const char *name = s, *end;
		char *after;
		double v;

		if (*s != '"') {
			depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
			s++;
			continue;
		}
		s = end = skip_string(s);
		s += strspn(s, " \t\r\n");
		if (*s != ':' || depth != 1 || (size_t)(end - name) != n + 2 || strncmp(name + 1, key, n) != 0)
			continue;
		v = strtod(s + 1, &after);
		if (after == s + 1 || !(v >= 1 && v <= max) || v != (double)(cl_uint)v)
			return fail(f, "Gpu.Event", "\"%s\" must be a whole number from 1 to %u", key, max);
		*ret = (cl_uint)v;
	}
	return 0;
}

/* A string of the answer: names come from a driver, so they are escaped. */
static void add_string(char *out, size_t size, const char *key, const char *value)
{
	size_t n = strlen(out);

	n += (size_t)snprintf(out + n, size - n, "%s\"%s\": \"", out[1] ? ", " : "", key);
	for (; *value && n + 10 < size; value++) {
		if (*value == '"' || *value == '\\')
			out[n++] = '\\';
		out[n++] = isprint((unsigned char)*value) ? *value : ' ';
	}
	snprintf(out + n, size - n, "\"");
}

static void answer(wick_invocation *in, const struct work *w, double total_ms)
{
	const char *slice = getenv("WICK_SLICE");
	char out[4096] = "{";
	size_t n;

	add_string(out, sizeof(out), "device", gpu.name);
	add_string(out, sizeof(out), "vendor", gpu.vendor);
	add_string(out, sizeof(out), "kind", gpu.kind);
	add_string(out, sizeof(out), "platform", gpu.platform);
	add_string(out, sizeof(out), "driver", gpu.driver);
	add_string(out, sizeof(out), "chosen_by", gpu.chosen_by);
	n = strlen(out);
	if (slice)
		add_string(out, sizeof(out), "slice", slice);
	else
		snprintf(out + n, sizeof(out) - n, ", \"slice\": null");
	n = strlen(out);
	snprintf(out + n, sizeof(out) - n,
		 ", \"n\": %u, \"repeat\": %u, \"device_ms\": %.3f, \"total_ms\": %.3f, \"gflops\": %.2f, "
		 "\"error\": %lld, \"uses\": %llu}",
		 w->n, w->repeat, w->device_ms, total_ms,
		 w->device_ms > 0 ? 2.0 * w->n * w->n * w->n / w->device_ms / 1e6 : 0.0, (long long)w->error,
		 (unsigned long long)gpu.uses);
	wick_answer_text(in, out);
}

void wick_handler(wick_invocation *in)
{
	const char *event = wick_event(in, NULL);
	struct work w = {.n = 512, .repeat = 1};
	struct failure f = {0};
	double begun = now_ms();
	int r;

	r = number(event, "n", N_MAX, &w.n, &f);
	if (r == 0)
		r = number(event, "repeat", REPEAT_MAX, &w.repeat, &f);
	if (r < 0) {
		wick_error(in, f.type, f.text);
		return;
	}
	pthread_mutex_lock(&gpu.lock);
	if (!gpu.open) {
		r = open_device(&f);
		gpu.open = r == 0;
		if (r < 0)
			close_device();
	}
	if (r == 0)
		r = multiply(&w, &f);
	if (r == 0 && w.error != 0)
		r = fail(&f, "Gpu.WrongResult", "%s computes something else than the CPU (by %lld)", gpu.name,
			 (long long)w.error);
	if (r == 0) {
		gpu.uses++;
		answer(in, &w, now_ms() - begun);
	} else {
		wick_error(in, f.type, f.text);
	}
	work_done(&w);
	pthread_mutex_unlock(&gpu.lock);
}
