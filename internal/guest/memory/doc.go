// Package memory provides the linear memory of guests.
//
// An [Image] is what every guest of a module begins with. A [Linear] memory starts as a copy of an image, and
// can tell which parts have changed since, and be reset to it. On Linux it maps the image copy-on-write, so a
// guest costs only the pages that it writes to; elsewhere it copies the image. Both behave alike.
//
// The package also moves compiled code into huge pages. It knows nothing of guests or the WebAssembly runtime.
package memory
