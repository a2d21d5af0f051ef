package usage

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Confirmed asks a question, and reports whether the answer is yes. No answer is no.
func Confirmed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question, " [y/N] ")
	line, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	fmt.Fprintln(out)
	return false
}
