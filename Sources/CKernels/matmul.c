// Matrix products: a panel of columns of b is packed (and converted, where it is stored in bf16) for a stretch of k, then all rows
// of a run over it.
//
// Own loops and not OpenBLAS, because a row must come out the same wherever it stands: OpenBLAS 0.3.21's kernels for Haswell and
// Zen round rows 6-11 of every 12 differently from rows 0-5. Here an element is a chain of multiply-adds over each stretch of k,
// and the stretches depend on k only. Measured on Zen 3, these loops are the faster ones too.
#include "convert.h"
#include "kernels.h"
#include "thread_pool.h"
#include "tile.h"

// STRETCH: rows of a packed panel, so that one strip of it stays in the first-level cache. STRIPS of columns make a panel. CHUNK:
// rows of a that stay in the second-level cache while the strips of the panel pass. TASKS: how many a product is divided into at
// least, where its shape allows.
enum { STRETCH = 256, STRIPS = 3, CHUNK = 192, TASKS = 16, MOST_COLUMNS = STRIPS * 2 * LANES };

struct product {
    float *out;
    struct strided a;
    struct matrix b;
    int64_t m, n, k, panel, panels, rows, stretch;
    float factor;
    bool accumulate, b_transposed;
};

static int64_t strip_width(void) { return TILE_VECTORS(cpu_level()) * LANES; }

// 16 elements of b from (row, column), of which `count` exist.
BODY vector load_b(const struct product *p, int64_t at, int64_t count) {
    if (p->b.dtype == GRAFT_F32) return load_some((const float *)p->b.data + at, count);
    if (count >= LANES) return widen_bf16((const uint16_t *)p->b.data + at);
    uint16_t some[LANES] = {0};
    memcpy(some, (const uint16_t *)p->b.data + at, (size_t)count * sizeof(uint16_t));
    return widen_bf16(some);
}

// packed [depth, width]: rows first ..< first + depth of op(b), 16 columns from `column`, zeros past the last.
BODY void pack_lanes(const struct product *p, float *packed, int64_t width, int64_t column, int64_t first, int64_t depth) {
    int64_t columns = p->n - column;
    if (!p->b_transposed) {
        for (int64_t k = 0; k < depth; k++)
            store(packed + k * width, columns > 0 ? load_b(p, (first + k) * p->n + column, columns) : splat(0));
        return;
    }
    for (int64_t k = 0; k < depth; k += LANES) {
        vector block[LANES];
        for (int j = 0; j < LANES; j++)
            block[j] = j < columns ? load_b(p, (column + j) * p->k + first + k, depth - k) : splat(0);
        transpose_16(block);
        for (int64_t i = 0; i < smaller(LANES, depth - k); i++) store(packed + (k + i) * width, block[i]);
    }
}

// One strip of columns against rows [row, row + rows). Where the strip is wider than what is left of out, through a buffer.
BODY void multiply_strip(const struct product *p, const float *packed, int64_t row, int64_t rows, int64_t column, int64_t first,
                         int64_t depth, const int tile_rows, const int vectors) {
    int64_t width = vectors * LANES, columns = smaller(width, p->n - column);
    bool adds = p->accumulate || first > 0;
    struct strided a = {p->a.data + row * p->a.row + first * p->a.column, p->a.row, p->a.column};
    float *out = p->out + row * p->n + column;
    if (columns == width) return strip_product(out, p->n, a, packed, width, rows, depth, p->factor, adds, tile_rows, vectors);
    float buffer[12 * 2 * LANES];
    for (int64_t i = 0; i < rows; i += 12, a.data += 12 * a.row) {
        int64_t some = smaller(12, rows - i);
        for (int64_t r = 0; adds && r < some; r++)
            memcpy(buffer + r * width, out + (i + r) * p->n, (size_t)columns * sizeof(float));
        strip_product(buffer, width, a, packed, width, some, depth, p->factor, adds, tile_rows, vectors);
        for (int64_t r = 0; r < some; r++)
            memcpy(out + (i + r) * p->n, buffer + r * width, (size_t)columns * sizeof(float));
    }
}

BODY void product_panel_body(const struct product *p, int64_t task, enum cpu_level level) {
    const int tile_rows = TILE_ROWS(level), vectors = TILE_VECTORS(level);
    int64_t width = vectors * LANES, start = task % p->panels * p->panel, end = smaller(p->n, start + p->panel);
    int64_t first_row = task / p->panels * p->rows, last_row = smaller(p->m, first_row + p->rows);
    float *packed = pool_scratch(STRETCH * MOST_COLUMNS * sizeof(float));
    for (int64_t first = 0; first < p->k; first += p->stretch) {
        int64_t depth = smaller(p->stretch, p->k - first);
        for (int64_t column = start; column < end; column += width)
            for (int v = 0; v < vectors; v++)
                pack_lanes(p, packed + (column - start) * depth + v * LANES, width, column + v * LANES, first, depth);
        for (int64_t row = first_row; row < last_row; row += CHUNK)
            for (int64_t column = start; column < end; column += width)
                multiply_strip(p, packed + (column - start) * depth, row, smaller(CHUNK, last_row - row), column, first, depth,
                               tile_rows, vectors);
    }
}
VARIANTS_BY_LEVEL(product_panel, (const struct product *p, int64_t task), p, task)

static void product_task(void *context, int64_t task) { product_panel(context, task); }

static void run_product(struct product p) {
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) {
        if (!p.accumulate) graft_fill(p.out, 0, p.m * p.n);
        return;
    }
    p.panel = smaller(STRIPS, divide_up(p.n, strip_width())) * strip_width();
    p.panels = divide_up(p.n, p.panel);
    p.rows = larger(96, divide_up(divide_up(p.m, divide_up(TASKS, p.panels)), 12) * 12);
    p.stretch = divide_up(divide_up(p.k, divide_up(p.k, STRETCH)), 16) * 16;
    pool_run(divide_up(p.m, p.rows) * p.panels, product_task, &p);
}

void graft_matmul_nt(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .a = {a, k, 1}, .b = b, .m = m, .n = n, .k = k, .factor = factor,
                                 .accumulate = accumulate, .b_transposed = true});
}

void graft_matmul_nn(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .a = {a, k, 1}, .b = b, .m = m, .n = n, .k = k, .factor = factor,
                                 .accumulate = accumulate, .b_transposed = false});
}

// out = a^T b: the sum over k is the sum over tokens, in stretches of at most 256 rows added in order.
void graft_matmul_tn(float *out, const float *a, const float *b, int64_t m, int64_t n, int64_t t, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .a = {a, 1, m}, .b = {b, GRAFT_F32}, .m = m, .n = n, .k = t, .factor = factor,
                                 .accumulate = accumulate, .b_transposed = false});
}
