package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sourceLine returns the line of a call site, folder/file:line, from the source in dir, or "" where
// it is not there. It is what is there now, which may be newer than the module.
func sourceLine(dir, site string) string {
	file, number, ok := strings.Cut(site, ":")
	line, err := strconv.Atoi(number)
	if !ok || err != nil || dir == "" {
		return ""
	}
	base := filepath.Base(file)
	for _, name := range []string{filepath.Join(dir, file), filepath.Join(dir, base), filepath.Join(dir, "src", base), filepath.Join(dir, "..", file)} {
		if text := lineOf(name, line); text != "" {
			return text
		}
	}
	return ""
}

func lineOf(name string, line int) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		if n == line {
			return strings.TrimSpace(s.Text())
		}
	}
	return ""
}
