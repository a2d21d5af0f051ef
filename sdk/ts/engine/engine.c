// QuickJS-NG, unchanged, in one translation unit with what needs its internals.
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
