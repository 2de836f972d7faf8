// What both convolution kernels know about a layer: its tensors, where a pixel's neighbourhood lies, and what becomes
// of a sum. The convolution is an implicit matrix product: a row for each computed pixel, a column for each output
// channel, and in between the taps, one after another, each with its channels in chunks.
#pragma once
#include "element.cuh"
#include "policy.cuh"

constexpr int TILE = 64;  // rows, and columns, of the product that a block makes at a time

// As spvos_cli/sparse/kernels/cuda_launch.py fills it. Features and outputs are channels last.
struct Layer {
    const Element* input;   // (images, height, width, channels)
    const Element* common;  // (images / objects, height, width, common_channels): further channels, or null
    const Element* weight;  // (outputs, size, size, channels + common_channels)
    const Element* bias;    // (outputs), or null
    const int* counter;     // how many pixels, or cells of pixels, are computed
    const int* list;        // their positions in the flattened output, or grid of cells
    Element* output;        // (images, out_height, out_width, outputs)
    const unsigned char* policy;  // (cells), to write the skipped ones
    const unsigned char* before;  // (cells), under which the output was left: what was skipped then is written already
    const Element* skipped;       // (outputs), what a skipped pixel holds
    int channels, common_channels, outputs;
    int height, width, out_height, out_width;
    int size, stride, objects;
    int relu, accumulate;
    int cells, side_bits;  // cells, 0 where pixels are listed; of 2^side_bits pixels in height and width
};

// The position in the flattened output of a pixel of a cell; cells and their pixels are counted line by line.
__device__ inline int pixel_of(const Layer& layer, int cell, int within) {
    const int bits = layer.side_bits, across = layer.out_width >> bits, last = (1 << bits) - 1;
    const int y = (cell / across << bits) + (within >> bits), x = (cell % across << bits) + (within & last);
    return y * layer.out_width + x;
}

// Pixels that are computed.
__device__ inline int row_count(const Layer& layer) { return *layer.counter << 2 * layer.side_bits; }

// The position of a listed pixel in the flattened output, -1 past the end of the list.
__device__ inline int position_of(const Layer& layer, int row, int rows) {
    const int bits = 2 * layer.side_bits;
    return row < rows ? pixel_of(layer, layer.list[row >> bits], row & ((1 << bits) - 1)) : -1;
}

// Writes the pixels of cells that are skipped and were not before; a warp takes a cell.
__device__ inline void write_skipped_cells(const Layer& layer) {
    const int warps = blockDim.x / 32, pixels = 1 << 2 * layer.side_bits;
    for (int cell = blockIdx.x * warps + threadIdx.x / 32; cell < layer.cells; cell += gridDim.x * warps) {
        if (layer.policy[cell] == SKIP && layer.before[cell] != SKIP) {
            for (int within = 0; within < pixels; ++within) {
                write_skipped(layer.output, layer.skipped, pixel_of(layer, cell, within),
                              layer.outputs * sizeof(Element));
            }
        }
    }
}

// The upper left corner of a pixel's neighbourhood; outside of every image where there is no pixel.
struct Corner {
    int image, y, x;
};

__device__ inline Corner corner_of(const Layer& layer, int position) {
    if (position < 0) {
        return {0, -layer.size, -layer.size};
    }
    const int line = position / layer.out_width, margin = layer.size / 2;
    return {line / layer.out_height, line % layer.out_height * layer.stride - margin,
            position % layer.out_width * layer.stride - margin};
}

// The chunk of the sum's terms that is loaded next: a tap, in the input or in the common channels, from a channel on.
struct Chunk {
    int y, x, channel;
    bool common;
};

__device__ inline int chunk_count(const Layer& layer, int length) {
    const int own = (layer.channels + length - 1) / length, common = (layer.common_channels + length - 1) / length;
    return layer.size * layer.size * (own + common);
}

__device__ inline Chunk following(const Layer& layer, Chunk chunk, int length) {
    chunk.channel += length;
    if (chunk.channel < (chunk.common ? layer.common_channels : layer.channels)) {
        return chunk;
    }
    chunk.channel = 0;
    chunk.common = !chunk.common && layer.common_channels > 0;
    if (!chunk.common && ++chunk.x == layer.size) {
        chunk.x = 0;
        ++chunk.y;
    }
    return chunk;
}

// Some terms in memory: where, and how many there are: none, or fewer, outside of the image, past the channels or
// past the outputs.
struct Terms {
    const Element* start;
    int count;
};

__device__ inline Terms input_terms(const Layer& layer, const Corner& corner, const Chunk& chunk, int offset) {
    const int y = corner.y + chunk.y, x = corner.x + chunk.x;
    const int channels = chunk.common ? layer.common_channels : layer.channels;
    const int channel = chunk.channel + offset;
    const Element* features = chunk.common ? layer.common : layer.input;
    if (y < 0 || y >= layer.height || x < 0 || x >= layer.width) {
        return {features, 0};
    }
    const int image = chunk.common ? corner.image / layer.objects : corner.image;
    const int pixel = (image * layer.height + y) * layer.width + x;
    return {features + pixel * channels + channel, channels - channel};
}

__device__ inline Terms weight_terms(const Layer& layer, int output, const Chunk& chunk, int offset) {
    const int channels = chunk.common ? layer.common_channels : layer.channels;
    const int channel = chunk.channel + offset;
    if (output >= layer.outputs) {
        return {layer.weight, 0};
    }
    const int tap = (output * layer.size + chunk.y) * layer.size + chunk.x;
    const int before = tap * (layer.channels + layer.common_channels) + (chunk.common ? layer.channels : 0);
    return {layer.weight + before + channel, channels - channel};
}

__device__ inline float bias_of(const Layer& layer, int output) {
    return layer.bias && output < layer.outputs ? to_float(layer.bias[output]) : 0.0f;
}

__device__ inline void store_one(const Layer& layer, Element& place, float sum) {
    if (layer.accumulate) {
        sum += to_float(place);
    }
    assign(place, layer.relu ? fmaxf(sum, 0.0f) : sum);
}

// What becomes of COUNT finished sums of a pixel, bias included: ReLU, or an addition to what is there.
template <int COUNT>
__device__ inline void store(const Layer& layer, int position, int output, const float (&sums)[COUNT]) {
    struct alignas(COUNT * sizeof(Element)) Together {
        Element elements[COUNT];
    };
    if (position < 0 || output >= layer.outputs) {
        return;
    }
    Element* place = layer.output + position * layer.outputs + output;
    if (layer.outputs % COUNT == 0) {
        Together values = {};
        if (layer.accumulate) {
            values = *reinterpret_cast<Together*>(place);
        }
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            store_one(layer, values.elements[i], sums[i]);
        }
        *reinterpret_cast<Together*>(place) = values;
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            if (output + i < layer.outputs) {
                store_one(layer, place[i], sums[i]);
            }
        }
    }
}
