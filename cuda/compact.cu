// From policies to work: writes the skipped pixels, and lists the computed ones for the convolution.
// The pixels may also be cells, listed for many layers, which write what is skipped themselves.
#include "policy.cuh"

// As spvos_cli/sparse/kernels/cuda_launch.py fills it.
struct Compaction {
    const unsigned char* policy;  // (pixels)
    const void* skipped;          // what a skipped pixel holds, or null: then it stays as it is
    void* output;                 // (pixels, row_bytes)
    int* counter;                 // how many pixels are computed, 0 before
    int* list;                    // which: room for all
    int pixels, row_bytes;
};

extern "C" __global__ void compact(const Compaction job) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    const int policy = pixel < job.pixels ? job.policy[pixel] : REUSE;
    append(job.counter, job.list, pixel, policy == COMPUTE);
    write_skipped_of_warp(job.output, job.skipped, pixel, policy == SKIP && job.skipped, job.row_bytes);
}
