// Package setup has tests only: they run setup.sh, which finds what building and testing need on a machine,
// installs what is missing where it may, and says what it could not get.
package setup
