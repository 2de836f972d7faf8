// From what a triple gate's convolution made of a frame to work: policies, what the next frame's logits begin with, the
// skipped pixels, and the list of computed ones.
//
// The gate is linear, so that a convolution with six outputs has this frame's part of this frame's logits and its part
// of the next frame's.
#include "element.cuh"
#include "policy.cuh"

// As spvos_cli/sparse/kernels/cuda_launch.py fills it.
struct Decision {
    const Element* parts;          // (pixels, 6)
    const Element* bias;           // (3)
    float* logits;                 // (pixels, 3): the last frame's part, then this frame's
    unsigned char* policy;         // (pixels): the last one, then this one
    const unsigned char* given;    // (pixels): policies that hold, whatever the logits say; or null
    const unsigned char* unknown;  // (rows), of which nothing is known: all of them are computed; or null
    const void* skipped;           // what a skipped pixel holds
    void* output;                  // (pixels, row_bytes)
    int* counter;                  // how many pixels are computed, 0 before
    int* list;                     // which: room for all
    int pixels, row_bytes, row_pixels;
};

// SKIP, REUSE or COMPUTE: the first where several are largest.
__device__ inline int largest(const float (&logits)[3]) {
    if (logits[COMPUTE] > logits[SKIP] && logits[COMPUTE] > logits[REUSE]) {
        return COMPUTE;
    }
    return logits[REUSE] > logits[SKIP] ? REUSE : SKIP;
}

__device__ inline int decide_one(const Decision& job, int pixel) {
    float logits[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        float* kept = job.logits + 3 * pixel + i;
        logits[i] = to_float(job.parts[6 * pixel + i]) + *kept + to_float(job.bias[i]);
        *kept = to_float(job.parts[6 * pixel + 3 + i]);
    }
    if (job.unknown && job.unknown[pixel / job.row_pixels]) {
        return COMPUTE;
    }
    return job.given ? job.given[pixel] : largest(logits);
}

extern "C" __global__ void decide(const Decision job) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    int policy = REUSE;
    bool skipped = false;
    if (pixel < job.pixels) {
        policy = decide_one(job, pixel);
        skipped = policy == SKIP && job.policy[pixel] != SKIP;
        job.policy[pixel] = policy;
    }
    append(job.counter, job.list, pixel, policy == COMPUTE);
    write_skipped_of_warp(job.output, job.skipped, pixel, skipped, job.row_bytes);
}
