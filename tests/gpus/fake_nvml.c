/* A libnvidia-ml.so.1 for machines without a GPU.

   FAKE_NVML_GPUS: one GPU for each space-separated word, UUID:FREE_GIB[:PIDS], PIDS joined by "+".
   FAKE_NVML_INIT: what nvmlInit returns, or "hang" or "crash". FAKE_NVML_ILL: "mig", "ecc" and "hot" for all GPUs. A GPU whose UUID is "lost" has fallen off the bus.
   With -DPROCESSES=NAME the function that tells processes has another name, as in drivers of another age. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

typedef struct { char uuid[80]; unsigned long long free_gib; unsigned pids[8]; unsigned count; } gpu_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process_t;

static gpu_t gpus[16];
static unsigned gpu_count;

static void read_gpu(char *word) {
  gpu_t *gpu = &gpus[gpu_count++];
  char pids[200] = "", *rest = pids, *pid;
  memset(gpu, 0, sizeof *gpu);
  sscanf(word, "%79[^:]:%llu:%199s", gpu->uuid, &gpu->free_gib, pids);
  while ((pid = strsep(&rest, "+")) && *pid) gpu->pids[gpu->count++] = (unsigned)atoi(pid);
}

int nvmlInitWithFlags(unsigned flags) {
  const char *status = getenv("FAKE_NVML_INIT"), *words = getenv("FAKE_NVML_GPUS");
  char *copy = strdup(words ? words : ""), *rest = copy, *word;
  (void)flags;
  gpu_count = 0;
  if (status && !strcmp(status, "crash")) abort();
  while (status && !strcmp(status, "hang")) sleep(1);
  while ((word = strsep(&rest, " ")) && gpu_count < 16) if (*word) read_gpu(word);
  free(copy);
  return status ? atoi(status) : SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "the fake says no"; }

static int ill(const char *word) { const char *words = getenv("FAKE_NVML_ILL"); return words && strstr(words, word); }

int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "550.54.15"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12040; return SUCCESS; }
int nvmlDeviceGetUtilizationRates(gpu_t *gpu, unsigned rates[2]) { (void)gpu; rates[0] = 37; rates[1] = 9; return SUCCESS; }
int nvmlDeviceGetPersistenceMode(gpu_t *gpu, int *mode) { (void)gpu; *mode = 0; return SUCCESS; }

int nvmlDeviceGetMigMode(gpu_t *gpu, unsigned *now, unsigned *pending) {
  (void)gpu;
  *now = *pending = (unsigned)ill("mig");
  return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(gpu_t *gpu, int type, int counter, unsigned long long *count) {
  (void)gpu;
  *count = ill("ecc") && type == 1 && counter == 0 ? 3 : 0;
  return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(gpu_t *gpu, unsigned long long *reasons) {
  (void)gpu;
  *reasons = ill("hot") ? 0x40 : 0x1;
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) { *count = gpu_count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu_t **handle) {
  if (index >= gpu_count) return INVALID_ARGUMENT;
  *handle = &gpus[index];
  return strcmp(gpus[index].uuid, "lost") ? SUCCESS : GPU_IS_LOST;
}

int nvmlDeviceGetUUID(gpu_t *gpu, char *text, unsigned size) { snprintf(text, size, "%s", gpu->uuid); return SUCCESS; }
int nvmlDeviceGetName(gpu_t *gpu, char *text, unsigned size) { (void)gpu; snprintf(text, size, "Fake 80"); return SUCCESS; }

int nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
  memory->total = 80ULL << 30;
  memory->free = gpu->free_gib << 30;
  memory->used = memory->total - memory->free;
  return SUCCESS;
}

#ifndef PROCESSES
#define PROCESSES nvmlDeviceGetComputeRunningProcesses_v3
#endif
int PROCESSES(gpu_t *gpu, unsigned *count, process_t *found) {
  unsigned room = *count;
  *count = gpu->count;
  if (gpu->count > room) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < gpu->count; i++) found[i] = (process_t){gpu->pids[i], 1ULL << 30, 0, 0};
  return SUCCESS;
}
