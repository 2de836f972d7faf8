// From policies to work: writes the skipped pixels, and lists the computed ones for the convolution.
// The pixels may also be cells, whose computed ones are listed for many layers, which write the skipped ones themselves.
#include "policy.cuh"

constexpr unsigned WARP = 0xffffffff;

// As spvos_cli/sparse/kernels/cuda_launch.py fills it.
struct Compaction {
    const unsigned char* policy;  // (pixels)
    const void* skipped;          // what a skipped pixel holds, or null: then it stays as it is
    void* output;                 // (pixels, row_bytes)
    int* counter;                 // how many pixels are computed, 0 before
    int* list;                    // which: room for all
    int pixels, row_bytes;
};

// Appends the warp's computed pixels, with one atomic addition for all of them.
__device__ void append(const Compaction& job, int pixel, bool computed) {
    const int lane = threadIdx.x % 32;
    const unsigned chosen = __ballot_sync(WARP, computed);
    int first = 0;
    if (lane == 0 && chosen) {
        first = atomicAdd(job.counter, __popc(chosen));
    }
    first = __shfl_sync(WARP, first, 0);
    if (computed) {
        job.list[first + __popc(chosen & ((1u << lane) - 1))] = pixel;
    }
}

extern "C" __global__ void compact(const Compaction job) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    const int policy = pixel < job.pixels ? job.policy[pixel] : REUSE;
    append(job, pixel, policy == COMPUTE);
    unsigned skipped = __ballot_sync(WARP, policy == SKIP && job.skipped);
    for (; skipped; skipped &= skipped - 1) {  // the whole warp writes one row after another
        const int row = pixel - static_cast<int>(threadIdx.x % 32) + __ffs(skipped) - 1;
        write_skipped(job.output, job.skipped, row, job.row_bytes);
    }
}
