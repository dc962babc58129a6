// The way of operands into a product of bf16 numbers: what is in work, strips of pairs of b, and rows of a.
#ifndef GRAFT_BF16_PACK_H
#define GRAFT_BF16_PACK_H

#include "bf16_elements.h"
#include "bf16_units.h"
#include "thread_pool.h"
#include "weight_storage.h"

enum {
    PANEL_STRIPS = 4, // of a packing task
    PACK_STEPS = 8,   // of a packing task: it reads 128 or 256 rows of b, 512 or 256 bytes of each
    COPIED_ROWS = 64, // of a copying task
    PANEL = PANEL_STRIPS * STRIP * STEP // elements unpacked at a time: a step of all columns, or UNPACKED of 16 columns
};
_Static_assert(PANEL >= LANES * UNPACKED, "a panel holds what 16 columns unpack");

// What of a term lies in the part in work.
struct segment {
    struct product_term term;
    int64_t first, depth; // of the term's k; whole steps
    int64_t offset;       // of the part's
    // Rows from copied_from on, up to whole groups, as [rows, depth]. All, or those after the last whole group.
    uint16_t *copy;
    int64_t copied_from;
};

struct work {
    struct array out; // element (i, j) at i * out_row + j * out_column, in addend too
    const float *addend;
    int64_t out_row, out_column;
    int64_t m, n, depth; // depth: of the part
    float factor;        // of the sums
    struct segment *segments;
    int32_t segment_count;
    const struct bf16_unit *unit;
    bool native;
    bool is_last_part;
    float *sums; // between parts: [group][strip][32, 32]
    bool continues;
    // Columns from first_strip on are in work.
    int64_t first_strip, strips, block_strips, task_rows, row_blocks, copy_tasks;
    bool packs_in_task;
    uint16_t *packed; // [strip][depth, 32]
};

static int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// What a packing thread works on: strips from `column` on, to go to `packed`, and the steps [first_step, last_step) of them.
struct panel {
    uint16_t *packed;
    float *unpacked; // PANEL elements of a quantised b
    int64_t column, strips, first_step, last_step;
};

// Columns [column, column + 16) of transposed b: rows of it, unpacked some steps ahead where they are quantised.
BODY void pack_columns_of(const struct work *w, const struct panel *panel, const struct segment *s, int64_t column, uint16_t *to,
                          int64_t begin, int64_t end, const bool native) {
    const struct product_term *t = &s->term;
    int64_t columns = w->n - column;
    for (int64_t ahead = begin; ahead < end; ahead += UNPACKED) {
        int64_t last = smaller(ahead + UNPACKED, end), left = t->k - s->first - ahead, first = s->first + ahead;
        struct matrix b = t->b;
        int64_t width = t->k, row = column;
        if (is_quantized(b)) {
            for (int64_t j = 0; j < smaller(LANES, columns); j++)
                unpack_run(panel->unpacked + j * UNPACKED, b, (column + j) * t->k + first, smaller(UNPACKED, left));
            b = (struct matrix){.data = panel->unpacked, .dtype = GRAFT_F32}, width = UNPACKED, row = 0, first = 0;
        }
        for (int64_t k = ahead; k < last; k += STEP) {
            word_vector *pairs = (word_vector *)(to + k * STRIP);
            pairs_of_columns(pairs, b, width, row, columns, first + k - ahead, left - (k - ahead), t->factor, native);
        }
    }
}

// A step of all of the panel's columns: 32 rows of b.
BODY void pack_rows_of(const struct work *w, const struct panel *panel, const struct segment *s, uint16_t *to, int64_t k,
                       const bool native) {
    const struct product_term *t = &s->term;
    int64_t row = s->first + k, rows = t->k - row, columns = smaller(panel->strips * STRIP, w->n - panel->column);
    int64_t width = w->n, column = panel->column, first_row = row;
    struct matrix b = t->b;
    if (is_quantized(b)) {
        width = panel->strips * STRIP;
        for (int64_t i = 0; i < smaller(STEP, rows); i++)
            unpack_run(panel->unpacked + i * width, b, (row + i) * w->n + column, columns);
        b = (struct matrix){.data = panel->unpacked, .dtype = GRAFT_F32}, column = 0, first_row = 0;
    }
    for (int64_t j = 0; j < columns; j += LANES) {
        word_vector *pairs = (word_vector *)(to + j / STRIP * STRIP * w->depth + j % STRIP * STEP);
        pairs_of_rows(pairs, b, width, first_row, rows, column + j, columns - j, t->factor, native);
    }
}

// One tile for each step and each half of a strip that has columns.
BODY void pack_panel(const struct work *w, const struct panel *panel, const bool native) {
    for (int32_t i = 0; i < w->segment_count; i++) {
        const struct segment *s = &w->segments[i];
        int64_t begin = larger(panel->first_step * STEP - s->offset, 0);
        int64_t end = smaller(panel->last_step * STEP - s->offset, s->depth);
        uint16_t *to = panel->packed + s->offset * STRIP;
        for (int64_t k = begin; k < end && !s->term.b_transposed; k += STEP)
            pack_rows_of(w, panel, s, to + k * STRIP, k, native);
        for (int64_t j = 0; j < panel->strips * STRIP && s->term.b_transposed && panel->column + j < w->n; j += LANES)
            pack_columns_of(w, panel, s, panel->column + j, to + j / STRIP * STRIP * w->depth + j % STRIP * STEP, begin, end,
                            native);
    }
}

// Rows [row, row + 16) of a segment's copy.
BODY void copy_sixteen_rows(const struct work *w, const struct segment *s, int64_t row, const bool native) {
    const struct product_term *t = &s->term;
    uint16_t *copy = s->copy + (row - s->copied_from) * s->depth;
    for (int64_t k = 0; k < s->depth && t->a_transposed; k += STEP) {
        word_vector pairs[LANES];
        pairs_of_rows(pairs, t->a, w->m, s->first + k, t->k - s->first - k, row, w->m - row, 1, native);
        transpose_16((vector *)pairs);
        for (int64_t r = 0; r < LANES; r++) memcpy(copy + r * s->depth + k, &pairs[r], sizeof pairs[r]);
    }
    for (int64_t r = 0; r < LANES && !t->a_transposed; r++)
        for (int64_t k = 0; k < s->depth; k += LANES) {
            int64_t count = row + r < w->m ? t->k - s->first - k : 0;
            store_bf16(copy + r * s->depth + k, load_bf16(t->a, (row + r) * t->k + s->first + k, count, 1, native), LANES);
        }
}

// A copying task has rows of all segments. Where nothing but rows after the last whole group is copied, there is one.
BODY void prepare(const struct work *w, int64_t task, const bool native) {
    if (task >= w->copy_tasks) {
        task -= w->copy_tasks;
        int64_t strip_blocks = divide_up(w->strips, PANEL_STRIPS), strip = task % strip_blocks * PANEL_STRIPS;
        struct panel panel = {.packed = w->packed + strip * STRIP * w->depth,
                              .unpacked = pool_scratch(PANEL * sizeof(float)),
                              .column = (w->first_strip + strip) * STRIP,
                              .strips = smaller(PANEL_STRIPS, w->strips - strip),
                              .first_step = task / strip_blocks * PACK_STEPS};
        panel.last_step = smaller(panel.first_step + PACK_STEPS, w->depth / STEP);
        pack_panel(w, &panel, native);
        return;
    }
    for (int32_t i = 0; i < w->segment_count; i++) {
        const struct segment *s = &w->segments[i];
        bool copies_all = s->copied_from == 0 && w->copy_tasks > 1;
        if (!copies_all && task > 0) continue;
        int64_t first = copies_all ? task * COPIED_ROWS : s->copied_from;
        int64_t last = copies_all ? smaller(first + COPIED_ROWS, round_up(w->m, GROUP)) : round_up(w->m, GROUP);
        for (int64_t row = first; row < last; row += LANES) copy_sixteen_rows(w, s, row, native);
    }
}

#endif
