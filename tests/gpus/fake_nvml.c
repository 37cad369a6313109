/* A libnvidia-ml.so.1 for machines without a GPU.

   FAKE_NVML_GPUS: one GPU for each space-separated word, UUID:FREE_GIB[:PIDS], PIDS joined by "+".
   FAKE_NVML_GPUS=@FILE reads the words from a file, whenever the library is initialised.
   A pid may be PID=GIB for another amount than 1.
   FAKE_NVML_LINKS: "0-1:4" for four NVLink lanes between two GPUs, "switch:18" for that many of each to switches.
   FAKE_NVML_LEVELS: "0-1:10" for the level of their common ancestor, 50 where it is not said.
   FAKE_NVML_P2P: "0-1:0" for the peer-to-peer status over NVLink; not supported where it is not said.
   FAKE_NVML_MIG: "0:3g.40gb+1g.10gb" for the instances of a GPU in MIG mode. FAKE_NVML_MODES: "1:2" for compute modes.
   FAKE_NVML_DENIED: names of functions that are not supported.
   FAKE_NVML_INIT: what nvmlInit returns, or "hang" or "crash". FAKE_NVML_ILL: "mig", "ecc" and "hot" for all GPUs. A GPU whose UUID is "lost" has fallen off the bus.
   With -DPROCESSES=NAME the function that tells processes has another name, as in drivers of another age. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

typedef struct {
  char uuid[80], profile[32];
  unsigned long long total_gib, free_gib, held[8];
  unsigned pids[8], count, index, is_mig;
} gpu_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process_t;

static gpu_t gpus[16], parts[16][8];
static unsigned gpu_count;

static int denied(const char *name) {
  const char *words = getenv("FAKE_NVML_DENIED"), *found = words ? strstr(words, name) : 0;
  return found && strchr(" ", found[strlen(name)]);
}
#define MAY if (denied(__func__)) return NOT_SUPPORTED

/* The number after KEY: in the words of a variable, or `otherwise`. */
static int number(const char *variable, const char *key, int otherwise) {
  const char *words = getenv(variable), *found = words ? strstr(words, key) : 0;
  return found ? atoi(found + strlen(key)) : otherwise;
}

static int of_pair(const char *variable, unsigned one, unsigned other, int otherwise) {
  char key[32];
  snprintf(key, sizeof key, "%u-%u:", one < other ? one : other, one < other ? other : one);
  return number(variable, key, otherwise);
}

static const char *words_of(const char *variable, char *room, size_t size) {
  const char *words = getenv(variable);
  if (!words) return "";
  if (*words != '@') return words;
  FILE *file = fopen(words + 1, "r");
  size_t got = file ? fread(room, 1, size - 1, file) : 0;
  room[got] = 0;
  if (file) fclose(file);
  return room;
}

static void read_parts(gpu_t *gpu) {
  const char *words = getenv("FAKE_NVML_MIG");
  char key[16], *copy, *rest, *word;
  snprintf(key, sizeof key, "%u:", gpu->index);
  const char *found = words ? strstr(words, key) : 0;
  if (!found) return;
  gpu->is_mig = 1;
  copy = rest = strdup(found + strlen(key));
  copy[strcspn(copy, " ")] = 0;
  for (unsigned at = 0; (word = strsep(&rest, "+")) && at < 8; at++) {
    gpu_t *part = &parts[gpu->index][at];
    memset(part, 0, sizeof *part);
    if (!*word) continue;
    part->index = gpu->index;
    snprintf(part->uuid, sizeof part->uuid, "MIG-%u-%u", gpu->index, at);
    snprintf(part->profile, sizeof part->profile, "%s", word);
    part->total_gib = part->free_gib = (unsigned long long)atoi(strchr(word, '.') + 1);
  }
  free(copy);
}

static void read_gpu(char *word) {
  gpu_t *gpu = &gpus[gpu_count];
  char pids[200] = "", *rest = pids, *pid;
  memset(gpu, 0, sizeof *gpu);
  sscanf(word, "%79[^:]:%llu:%199s", gpu->uuid, &gpu->free_gib, pids);
  while ((pid = strsep(&rest, "+")) && *pid) {
    char *amount = strchr(pid, '=');
    gpu->held[gpu->count] = amount ? (unsigned long long)atoi(amount + 1) : 1;
    gpu->pids[gpu->count++] = (unsigned)atoi(pid);
  }
  gpu->total_gib = 80;
  gpu->index = gpu_count++;
  read_parts(gpu);
}

int nvmlInitWithFlags(unsigned flags) {
  char room[4096];
  const char *status = getenv("FAKE_NVML_INIT"), *words = words_of("FAKE_NVML_GPUS", room, sizeof room);
  char *copy = strdup(words), *rest = copy, *word;
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
  MAY;
  *now = *pending = gpu->is_mig || ill("mig");
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

int nvmlDeviceGetHandleByUUID(const char *uuid, gpu_t **handle) {
  for (unsigned at = 0; at < gpu_count; at++) {
    *handle = &gpus[at];
    if (!strcmp(gpus[at].uuid, uuid)) return SUCCESS;
    for (unsigned part = 0; part < 8; part++) {
      *handle = &parts[at][part];
      if (gpus[at].is_mig && !strcmp(parts[at][part].uuid, uuid)) return SUCCESS;
    }
  }
  return NOT_FOUND;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(gpu_t *part, gpu_t **gpu) { *gpu = &gpus[part->index]; return SUCCESS; }
int nvmlDeviceGetIndex(gpu_t *gpu, unsigned *index) { *index = gpu->index; return SUCCESS; }
int nvmlDeviceGetPowerUsage(gpu_t *gpu, unsigned *milliwatts) { MAY; (void)gpu; *milliwatts = 250500; return SUCCESS; }

int nvmlDeviceGetTemperature(gpu_t *gpu, int sensor, unsigned *degrees) {
  MAY;
  (void)gpu;
  *degrees = sensor ? 0 : 61;
  return SUCCESS;
}

int nvmlDeviceGetName(gpu_t *gpu, char *text, unsigned size) {
  MAY;
  snprintf(text, size, *gpu->profile ? "Fake 80 MIG %s" : "Fake 80", gpu->profile);
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
  MAY;
  memory->total = gpu->total_gib << 30;
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
  for (unsigned i = 0; i < gpu->count; i++) found[i] = (process_t){gpu->pids[i], gpu->held[i] << 30, 0, 0};
  return SUCCESS;
}

/* Where the GPUs are and how they are joined. */

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
enum { MOST_LINKS = 18 };

static void place(pci_t *pci, unsigned bus) {
  memset(pci, 0, sizeof *pci);
  snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", bus);
}

int nvmlDeviceGetPciInfo_v3(gpu_t *gpu, pci_t *pci) { MAY; place(pci, 0xA0 + gpu->index); return SUCCESS; }
int nvmlDeviceGetNumaNodeId(gpu_t *gpu, int *node) { MAY; *node = (int)gpu->index / 4; return SUCCESS; }

int nvmlDeviceGetComputeMode(gpu_t *gpu, int *mode) {
  char key[16];
  MAY;
  snprintf(key, sizeof key, "%u:", gpu->index);
  *mode = number("FAKE_NVML_MODES", key, 0);
  return SUCCESS;
}

int nvmlDeviceGetTopologyCommonAncestor(gpu_t *one, gpu_t *other, int *level) {
  MAY;
  *level = of_pair("FAKE_NVML_LEVELS", one->index, other->index, 50);
  return SUCCESS;
}

int nvmlDeviceGetP2PStatus(gpu_t *one, gpu_t *other, int kind, int *status) {
  MAY;
  *status = of_pair("FAKE_NVML_P2P", one->index, other->index, -1);
  return kind == 2 && *status >= 0 ? SUCCESS : NOT_SUPPORTED;
}

/* The GPU at the other end of a link, 100 for a switch, -1 for none. */
static int far_end(gpu_t *gpu, unsigned link) {
  unsigned first = 0;
  for (unsigned other = 0; other < gpu_count; other++) {
    unsigned lanes = other == gpu->index ? 0 : (unsigned)of_pair("FAKE_NVML_LINKS", gpu->index, other, 0);
    if (link < first + lanes) return (int)other;
    first += lanes;
  }
  return link < (unsigned)number("FAKE_NVML_LINKS", "switch:", 0) ? 100 : -1;
}

int nvmlDeviceGetNvLinkState(gpu_t *gpu, unsigned link, unsigned *active) {
  MAY;
  if (link >= MOST_LINKS) return INVALID_ARGUMENT;
  *active = far_end(gpu, link) >= 0;
  return SUCCESS;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(gpu_t *gpu, unsigned link, pci_t *pci) {
  MAY;
  place(pci, 0xA0 + (unsigned)far_end(gpu, link));
  return SUCCESS;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(gpu_t *gpu, unsigned link, unsigned *type) {
  MAY;
  *type = far_end(gpu, link) == 100 ? 2 : 0;
  return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(gpu_t *gpu, unsigned *count) { MAY; *count = gpu->is_mig ? 7 : 0; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(gpu_t *gpu, unsigned at, gpu_t **handle) {
  MAY;
  if (at >= 8 || !*parts[gpu->index][at].uuid) return NOT_FOUND;
  *handle = &parts[gpu->index][at];
  return SUCCESS;
}

typedef struct { unsigned units, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices; unsigned long long mb; } parts_t;

int nvmlDeviceGetAttributes_v2(gpu_t *gpu, parts_t *made_of) {
  MAY;
  *made_of = (parts_t){.gpu_slices = (unsigned)atoi(gpu->profile), .compute_slices = (unsigned)atoi(gpu->profile),
                       .mb = gpu->total_gib << 10};
  return SUCCESS;
}
