/* The few declarations of the CUDA driver's interface that parking needs, so that no CUDA toolkit is needed to build.
 * From NVIDIA's CUDA Driver API reference (https://docs.nvidia.com/cuda/cuda-driver-api/): "Data types used by CUDA
 * driver" (CUresult, CUprocessState, CUcheckpointLockArgs), "Initialization", "Version Management", "Error Handling",
 * and "CUDA Checkpointing" (group__CUDA__CHECKPOINT.html), which drivers have from CUDA 12.8 on. Names are NVIDIA's, so
 * that they are found there. Types that are only passed as NULL here are not declared.
 *
 * What the driver cannot do, it refuses: on Arm (CUDA_ERROR_NOT_SUPPORTED from Checkpoint, as of driver 580), a process
 * on a MIG instance (CUDA_ERROR_OUT_OF_MEMORY, as of the end of 2025), one with UVM or IPC memory (as of 570), and then
 * it does not promise that the process can go on (github.com/NVIDIA/cuda-checkpoint: README.md, issues 42 and 51). Of
 * clients of MPS nothing is said there. */
#pragma once

#include <stdint.h>

#define CUDA_LIBRARY "libcuda.so.1"
#define CUDA_FILE    "libcuda.so" /* its file is named libcuda.so.VERSION */

typedef int CUresult;
#define CUDA_SUCCESS               0
#define CUDA_ERROR_INVALID_VALUE   1
#define CUDA_ERROR_OUT_OF_MEMORY   2
#define CUDA_ERROR_NOT_INITIALIZED 3
#define CUDA_ERROR_NO_DEVICE       100
#define CUDA_ERROR_ILLEGAL_STATE   401
#define CUDA_ERROR_NOT_READY       600
#define CUDA_ERROR_NOT_SUPPORTED   801
#define CUDA_ERROR_UNKNOWN         999

typedef enum {
	CU_PROCESS_STATE_RUNNING = 0,
	CU_PROCESS_STATE_LOCKED = 1,       /* its calls of CUDA wait */
	CU_PROCESS_STATE_CHECKPOINTED = 2, /* and its device memory is in host memory, its devices are given back */
	CU_PROCESS_STATE_FAILED = 3,       /* it cannot be used any more */
	/* From CUDA 13.4 on, on the way to and from a storage of the caller's own, which is not used here. */
	CU_PROCESS_STATE_CHECKPOINTING = 4,
	CU_PROCESS_STATE_RESTORING = 5,
} CUprocessState;

typedef struct {
	unsigned timeoutMs; /* 0: none. Reached: the process is left running */
	unsigned reserved0; /* zero */
	uint64_t reserved1[7];
} CUcheckpointLockArgs;

/* What is looked up in the library. Restore needs cuInit or the driver's persistence mode, the other checkpoint calls
 * neither. Each X(name, parameters). The last argument of the checkpoint calls may be NULL. */
#define CUDA_FUNCTIONS(X)                                                                                              \
	X(cuInit, (unsigned flags))                                                                                    \
	X(cuDriverGetVersion, (int *version))                                                                          \
	X(cuGetErrorName, (CUresult error, const char **text))                                                         \
	X(cuGetErrorString, (CUresult error, const char **text))                                                       \
	X(cuCheckpointProcessGetState, (int pid, CUprocessState *state))                                               \
	X(cuCheckpointProcessLock, (int pid, CUcheckpointLockArgs *args))                                              \
	X(cuCheckpointProcessCheckpoint, (int pid, void *args))                                                        \
	X(cuCheckpointProcessRestore, (int pid, void *args))                                                           \
	X(cuCheckpointProcessUnlock, (int pid, void *args))
