// The guest interface, version 1, for JavaScript. This file moves bytes between JavaScript and the engine, and runs the
// job queue until nothing is left to do. What a workflow may call is written in TypeScript, in ../prelude.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("flawless", "call") int32_t engine_call(const char *, size_t, const char *, size_t, const void *, size_t);
IMPORT("flawless", "answer") int32_t engine_answer(int32_t, int32_t, void *, size_t);
IMPORT("flawless", "finish") void engine_finish(int32_t, const char *, size_t);
IMPORT("flawless", "describe") void engine_describe(const char *, size_t);
IMPORT("wasi_snapshot_preview1", "random_get") int32_t wasi_random(void *, size_t);
IMPORT("wasi_snapshot_preview1", "poll_oneoff") int32_t wasi_poll(const void *, void *, size_t, size_t *);
IMPORT("wasi_snapshot_preview1", "fd_close") int32_t wasi_close(int32_t);
IMPORT("wasi_snapshot_preview1", "proc_exit") _Noreturn void wasi_exit(int32_t);
extern void __wasm_call_ctors(void);
int flawless_frame(JSContext *, JSAtom, int, int *);
void flawless_awaits(JSContext *, JSAtom, void (*)(void *, JSAtom, int, int), void *);
void flawless_watch(JSAtom);
void flawless_each_lost(void (*)(void *, JSAtom, int, int), void *);

enum { first_call = 1000000, idle = 999999 }; // file descriptors, see docs/internals/formats.md

// A place in the user's sources, made of the source map by the build; sorted by line and column of the bundle.
struct place {
    uint32_t line, column, source, at;
};

// What the build puts into the module: it appends a data segment over these words, and others with what they point to.
// The initial values are not zero because zeros would have no segment.
__attribute__((visibility("default"))) volatile struct {
    const char *prelude;
    uint32_t prelude_len;
    const char *code;
    uint32_t code_len;
    const struct place *places;
    uint32_t places_count;
    const char *sources; // JSON: an array of names
    uint32_t sources_len;
} flawless_bundle = {(const char *)1, 0, 0, 0, 0, 0, 0, 0};

static JSRuntime *rt;
static JSContext *ctx;
static JSAtom bundle_name;
static JSValue hooks = JS_UNDEFINED; // set by the prelude: {describe, start, resume, deliver, blocked, rejected}
static bool over;                    // the run has ended
static bool loading;                 // the module is being initialised or described

// die ends the guest because of a failure that is not the workflow's own. The engine reports it as a panic.
static void die(const char *what) {
    JSValue e = JS_GetException(ctx);
    const char *text = JS_ToCString(ctx, e);
    JSValue stack = JS_IsObject(e) ? JS_GetPropertyStr(ctx, e, "stack") : JS_UNDEFINED;
    const char *trace = JS_IsString(stack) ? JS_ToCString(ctx, stack) : "";
    dprintf(2, "%s: %s\n%s\n", what, text ? text : "out of memory", trace ? trace : "");
    if (loading) wasi_exit(1); // whoever adds the module sees what was printed
    __builtin_trap();
}

#define HOST(name) static JSValue name(JSContext *c, JSValueConst self, int argc, JSValueConst *argv)

// bytes returns what a body holds: a Uint8Array, a string, or nothing. *text must be freed with JS_FreeCString.
static const void *bytes(JSContext *c, JSValueConst v, size_t *n, const char **text) {
    *text = NULL;
    *n = 0;
    if (JS_IsUndefined(v)) return "";
    if (JS_IsString(v)) return *text = JS_ToCStringLen(c, n, v);
    return JS_GetUint8Array(c, n, v);
}

// call(kind, head, body?: Uint8Array | string): number
HOST(host_call) {
    size_t kind_len, head_len, body_len;
    const char *text, *kind = JS_ToCStringLen(c, &kind_len, argv[0]), *head = JS_ToCStringLen(c, &head_len, argv[1]);
    const void *body = bytes(c, argv[2], &body_len, &text);
    JSValue v = JS_EXCEPTION;
    if (kind && head && body) v = JS_NewInt32(c, engine_call(kind, kind_len, head, head_len, body, body_len));
    JS_FreeCString(c, kind);
    JS_FreeCString(c, head);
    JS_FreeCString(c, text);
    return v;
}

// answer(call, part, asText): string | Uint8Array | undefined
HOST(host_answer) {
    static uint8_t small[4096];
    int32_t call, part;
    if (JS_ToInt32(c, &call, argv[0]) || JS_ToInt32(c, &part, argv[1])) return JS_EXCEPTION;
    int32_t n = engine_answer(call, part, small, sizeof small);
    if (n < 0) return JS_UNDEFINED;
    uint8_t *at = small;
    if (n > (int32_t)sizeof small) {
        if (!(at = malloc(n))) return JS_ThrowOutOfMemory(c);
        engine_answer(call, part, at, n);
    }
    JSValue v = JS_ToBool(c, argv[2]) ? JS_NewStringLen(c, (char *)at, n) : JS_NewUint8ArrayCopy(c, at, n);
    if (at != small) free(at);
    return v;
}

// answered(call): boolean
HOST(host_answered) {
    int32_t call;
    if (JS_ToInt32(c, &call, argv[0])) return JS_EXCEPTION;
    return JS_NewBool(c, engine_answer(call, 0, NULL, 0) >= 0);
}

// forget(call) frees an answer.
HOST(host_forget) {
    int32_t call;
    if (JS_ToInt32(c, &call, argv[0])) return JS_EXCEPTION;
    wasi_close(first_call + call);
    return JS_UNDEFINED;
}

// finish(ok, text) ends the run.
HOST(host_finish) {
    size_t n;
    const char *text = JS_ToCStringLen(c, &n, argv[1]);
    if (!text) return JS_EXCEPTION;
    engine_finish(JS_ToBool(c, argv[0]), text, n);
    JS_FreeCString(c, text);
    over = true;
    return JS_UNDEFINED;
}

// random(): a number from 0 up to 1; random(into: Uint8Array) fills it.
HOST(host_random) {
    if (JS_IsUndefined(argv[0])) {
        uint64_t r;
        wasi_random(&r, sizeof r);
        return JS_NewFloat64(c, (double)(r >> 11) * 0x1p-53);
    }
    size_t n;
    uint8_t *into = JS_GetUint8Array(c, &n, argv[0]);
    if (!into) return JS_EXCEPTION;
    wasi_random(into, n);
    return JS_UNDEFINED;
}

// utf8(text): Uint8Array. The text must be well formed.
HOST(host_utf8) {
    size_t n;
    const char *s = JS_ToCStringLen(c, &n, argv[0]);
    if (!s) return JS_EXCEPTION;
    JSValue v = JS_NewUint8ArrayCopy(c, (const uint8_t *)s, n);
    JS_FreeCString(c, s);
    return v;
}

// text(bytes: Uint8Array): string. Invalid UTF-8 is replaced.
HOST(host_text) {
    size_t n;
    const uint8_t *b = JS_GetUint8Array(c, &n, argv[0]);
    return b ? JS_NewStringLen(c, (const char *)b, n) : JS_EXCEPTION;
}

// locate finds the place of a line and column of the bundle: the index of its source << 20 | the line, or -1.
static int64_t locate(uint32_t line, uint32_t column) {
    const struct place *p = flawless_bundle.places;
    uint32_t low = 0, high = flawless_bundle.places_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p[middle].line < line || (p[middle].line == line && p[middle].column <= column))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || p[low - 1].line != line) return -1;
    return (int64_t)p[low - 1].source << 20 | p[low - 1].at;
}

// locate(line, column): number
HOST(host_locate) {
    uint32_t line, column;
    if (JS_ToUint32(c, &line, argv[0]) || JS_ToUint32(c, &column, argv[1])) return JS_EXCEPTION;
    return JS_NewInt64(c, locate(line, column));
}

// frame(level): the place of a caller in the bundle; -1 if it is unknown, -2 if there is none.
HOST(host_frame) {
    int32_t level;
    int column = 0;
    if (JS_ToInt32(c, &level, argv[0])) return JS_EXCEPTION;
    int line = flawless_frame(c, bundle_name, level, &column);
    return JS_NewInt64(c, line < 0 ? -2 : locate(line, column));
}

static void add_await(void *to, JSAtom name, int line, int column) {
    JSValue list = *(JSValue *)to;
    int64_t n;
    if (JS_GetLength(ctx, list, &n) < 0) return;
    JS_SetPropertyInt64(ctx, list, n, JS_AtomToString(ctx, name));
    JS_SetPropertyInt64(ctx, list, n + 1, JS_NewInt64(ctx, locate(line, column)));
}

// awaits(): for each async function of the bundle that awaits, its name and its place.
HOST(host_awaits) {
    JSValue list = JS_NewArray(c);
    flawless_awaits(c, bundle_name, add_await, &list);
    return list;
}

// lost(): the same for the last functions that awaited what nothing could settle any more, the newest first.
HOST(host_lost) {
    JSValue list = JS_NewArray(c);
    flawless_each_lost(add_await, &list);
    return list;
}

// nesting(text): how deep the arrays and objects of a JSON text lie in each other.
HOST(host_nesting) {
    size_t n;
    const char *s = JS_ToCStringLen(c, &n, argv[0]);
    if (!s) return JS_EXCEPTION;
    int depth = 0, deepest = 0;
    for (size_t k = 0; k < n; k++) {
        if (s[k] == '"')
            for (k++; k < n && s[k] != '"'; k++) k += s[k] == '\\';
        else if (s[k] == '[' || s[k] == '{')
            deepest = ++depth > deepest ? depth : deepest;
        else if (s[k] == ']' || s[k] == '}')
            depth--;
    }
    JS_FreeCString(c, s);
    return JS_NewInt32(c, deepest);
}

// hooks(h) hands over the functions that this file calls.
HOST(host_hooks) {
    hooks = JS_DupValue(c, argv[0]);
    return JS_UNDEFINED;
}

static const JSCFunctionListEntry host[] = {
    JS_CFUNC_DEF("call", 3, host_call),         JS_CFUNC_DEF("answer", 3, host_answer),
    JS_CFUNC_DEF("answered", 1, host_answered), JS_CFUNC_DEF("forget", 1, host_forget),
    JS_CFUNC_DEF("finish", 2, host_finish),     JS_CFUNC_DEF("random", 1, host_random),
    JS_CFUNC_DEF("utf8", 1, host_utf8),         JS_CFUNC_DEF("text", 1, host_text),
    JS_CFUNC_DEF("locate", 2, host_locate),     JS_CFUNC_DEF("frame", 1, host_frame),
    JS_CFUNC_DEF("awaits", 0, host_awaits),     JS_CFUNC_DEF("lost", 0, host_lost),
    JS_CFUNC_DEF("nesting", 1, host_nesting),   JS_CFUNC_DEF("hooks", 1, host_hooks),
};

static JSValue hook(const char *name, int argc, JSValueConst *argv) {
    JSValue f = JS_GetPropertyStr(ctx, hooks, name);
    JSValue v = JS_Call(ctx, f, JS_UNDEFINED, argc, argv);
    JS_FreeValue(ctx, f);
    if (JS_IsException(v)) die(name);
    return v;
}

static void rejected(JSContext *c, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
    if (JS_IsUndefined(hooks)) return;
    JSValueConst argv[] = {promise, reason, handled ? JS_TRUE : JS_FALSE};
    JS_FreeValue(ctx, hook("rejected", 3, argv));
}

static void run_jobs(void) {
    JSContext *c;
    while (!over && JS_IsJobPending(rt))
        if (JS_ExecutePendingJob(rt, &c) < 0) die("running a job");
}

// settle runs until nothing is left to do: all jobs, then one answer or timer with all of its jobs, and so on, as the
// event loop of a browser does. The answers of a turn come first, in the order of their calls.
static void settle(void) {
    for (run_jobs(); !over; run_jobs()) {
        double wake; // 0: something was delivered; above: the time of the next timer, whole ms; below: there is none
        JSValue v = hook("deliver", 0, NULL);
        JS_ToFloat64(ctx, &wake, v);
        if (wake == 0) continue;
        if (wake > 0) {
            struct { // a subscription of poll_oneoff: kind 0 is a clock, 1 a descriptor that is read
                uint64_t user, kind;
                uint32_t clock_or_fd;
                uint64_t timeout, precision;
                uint16_t flags;
            } want[2] = {{.clock_or_fd = 0, .timeout = (uint64_t)wake * 1000000, .flags = 1},
                         {.user = 1, .kind = 1, .clock_or_fd = idle}};
            uint64_t events[8];
            size_t n;
            wasi_poll(want, events, 2, &n);
        }
        return;
    }
}

static void evaluate(const char *text, size_t n, const char *name) {
    JSValue v = JS_Eval(ctx, text, n, name, JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(v)) die("the code at module level failed");
    JS_FreeValue(ctx, v);
    run_jobs();
}

EXPORT("_initialize") void initialize(void) {
    __wasm_call_ctors();
    rt = JS_NewRuntime();
    JS_SetMaxStackSize(rt, 768 << 10);
    JS_SetHostPromiseRejectionTracker(rt, rejected, NULL);
    ctx = JS_NewContext(rt);
    bundle_name = JS_NewAtom(ctx, "bundle.js");
    flawless_watch(bundle_name);
    JSValue global = JS_GetGlobalObject(ctx), h = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, h, host, sizeof host / sizeof *host);
    JS_SetPropertyStr(ctx, h, "sources", JS_NewStringLen(ctx, flawless_bundle.sources, flawless_bundle.sources_len));
    JS_SetPropertyStr(ctx, global, "__host", h);
    JS_FreeValue(ctx, global);
    loading = true;
    evaluate(flawless_bundle.prelude, flawless_bundle.prelude_len, "flawless:prelude");
    evaluate(flawless_bundle.code, flawless_bundle.code_len, "bundle.js");
    JS_RunGC(rt);
}

static void tell(const char *name) {
    size_t n;
    JSValue v = hook(name, 0, NULL);
    const char *text = JS_ToCStringLen(ctx, &n, v);
    if (text) engine_describe(text, n);
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, v);
}

EXPORT("flawless_describe") void describe(void) {
    loading = true;
    tell("describe");
    loading = false;
}
EXPORT("flawless_blocked") void blocked(void) { tell("blocked"); }

EXPORT("flawless_start") void start(void) {
    JS_FreeValue(ctx, hook("start", 0, NULL));
    settle();
}

EXPORT("flawless_resume") void resume(void) {
    JS_FreeValue(ctx, hook("resume", 0, NULL));
    settle();
}
