// Package residency decides which guests are in memory, and which of them compute.
//
// A guest needs two kinds of permits: a slot while it is in memory, and a permit to compute while it takes a
// turn. The number of slots follows the memory of the process, the number of permits to compute the number of
// processors. [Permits] hands both out to three classes of work in turn, so that new and short work does not
// wait behind everything that is older or longer.
//
// When slots or memory run short, [Residency] evicts idle guests: first those that sleep longest, then those
// that have been idle longest. It knows only their interface [Guest], and nothing of runs, their logs or
// their locks. The owner of an evicted guest decides whether it leaves an image.
package residency
