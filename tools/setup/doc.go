// Package setup only has tests. They run setup.sh, which finds the tools needed for building and testing, installs
// missing ones where it may, and reports the others.
package setup
