// Package ts only has tests. They pack flawless-client, the npm package in this folder, and use it as applications do: in
// Node.js, Deno, Bun and a browser, against a real server.
package ts
