// Package arch contains only tests of the project as a whole: which package may import which, how large a package may
// be, that packages and exported names are documented, and that the docs name, quote and link only what exists.
package arch
