// QuickJS-NG in one translation unit with what needs its internals. build.sh adds one line to it: the call of flawless_lost.
//
// The system headers come first, and then __wasi__ is undefined: where it is defined, quickjs.c leaves out its check of
// the stack. The address that it checks is in the shadow stack in linear memory, so it is the same on every machine.
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#undef __wasi__
#include "quickjs.h"
static void flawless_lost(JSRuntime *rt, void *state, bool active);
#include "quickjs.c"

// flawless_frame finds where a caller is: `level` frames of the bundle up from the running function. It returns the line
// and stores the column; 0 if they are unknown, -1 if there is no such frame. Functions in C and frames of other files,
// such as the prelude, do not count.
int flawless_frame(JSContext *ctx, JSAtom file, int level, int *column) {
    for (JSStackFrame *f = ctx->rt->current_stack_frame; f; f = f->prev_frame) {
        JSObject *p = JS_VALUE_GET_OBJ(f->cur_func);
        if (!js_class_has_bytecode(p->class_id)) continue;
        JSFunctionBytecode *b = p->u.func.function_bytecode;
        if (b->filename != file || level-- > 0) continue;
        return f->cur_pc ? find_line_num(ctx, b, f->cur_pc - b->byte_code_buf - 1, column) : 0;
    }
    return -1;
}

// flawless_awaits calls `each` with where every async function of the bundle awaits, the oldest call first.
void flawless_awaits(JSContext *ctx, JSAtom file, void (*each)(void *to, JSAtom name, int line, int column), void *to) {
    struct list_head *el;
    list_for_each(el, &ctx->rt->gc_obj_list) {
        JSGCObjectHeader *p = list_entry(el, JSGCObjectHeader, link);
        if (js_rc(p)->gc_obj_type != JS_GC_OBJ_TYPE_ASYNC_FUNCTION) continue;
        JSAsyncFunctionData *s = (JSAsyncFunctionData *)p;
        if (!s->is_active || !s->func_state.frame.cur_pc) continue;
        JSFunctionBytecode *b = JS_VALUE_GET_OBJ(s->func_state.frame.cur_func)->u.func.function_bytecode;
        if (b->filename != file) continue;
        int column = 0, line = find_line_num(ctx, b, s->func_state.frame.cur_pc - b->byte_code_buf - 1, &column);
        each(to, b->func_name, line, column);
    }
}

// Async functions that awaited a promise which nothing can settle any more. Nobody refers to such a promise, so it and the
// function are freed at once: this is the only moment at which it is known where the function stood.
static struct {
    JSAtom file; // that of the bundle
    struct {
        JSAtom name;
        int line, column;
    } last[8]; // newest first
    int n;
} lost;

static void flawless_lost(JSRuntime *rt, void *state, bool active) {
    JSStackFrame *f = &((JSAsyncFunctionState *)state)->frame;
    // While the collector frees a cycle, the function may be gone before its frame.
    if (!active || !f->cur_pc || rt->gc_phase != JS_GC_PHASE_NONE) return;
    JSFunctionBytecode *b = JS_VALUE_GET_OBJ(f->cur_func)->u.func.function_bytecode;
    if (b->filename != lost.file) return;
    enum { room = sizeof lost.last / sizeof *lost.last };
    if (lost.n == room) JS_FreeAtomRT(rt, lost.last[--lost.n].name);
    memmove(lost.last + 1, lost.last, lost.n++ * sizeof *lost.last);
    lost.last[0].name = JS_DupAtom(b->realm, b->func_name);
    lost.last[0].line = find_line_num(b->realm, b, f->cur_pc - b->byte_code_buf - 1, &lost.last[0].column);
}

// flawless_watch makes flawless_lost remember functions of a file.
void flawless_watch(JSAtom file) { lost.file = file; }

// flawless_each_lost calls `each` with where the functions stood that awaited for nothing, the newest first.
void flawless_each_lost(void (*each)(void *to, JSAtom name, int line, int column), void *to) {
    for (int k = 0; k < lost.n; k++) each(to, lost.last[k].name, lost.last[k].line, lost.last[k].column);
}
