package operate

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) secretCommand() *cobra.Command {
	c := &cobra.Command{Use: "secret", Short: "Manage secrets that runs can send but never see", Args: cobra.NoArgs, RunE: usage.NeedsCommand,
		Long: `A workflow puts flawless.Secret("NAME") into a request. This is only a
placeholder: the server replaces it with the value when it sends the request,
and only to the hosts that you allow for the secret. Neither the run nor its
log ever contains the value.

Secrets are stored encrypted (AES-256-GCM). The key is in the file secret.key
in the working directory, which is created with the first secret, or in
FLAWLESS_SECRET_KEY in the environment of the server (32 bytes in base64).
Back up the key separately.`}
	c.AddCommand(a.secretSetCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List secrets, without their values", Args: cobra.NoArgs,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Secrets(c.Context())
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				var rows [][]string
				for _, s := range all {
					rows = append(rows, []string{s.Name, strings.Join(s.Hosts, ","), render.Time(s.Changed), s.Key, s.Problem})
				}
				a.Table("NAME\tHOSTS\tCHANGED\tKEY\tPROBLEM", rows)
				return nil
			})},
		&cobra.Command{Use: "rm NAME", Short: "Remove a secret", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSecret,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.RemoveSecret(c.Context(), args[0]); err != nil || a.JSON {
					return a.OrPrint(err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.Out, "removed secret %s; calls that use it will be refused\n", args[0])
				return nil
			})},
		&cobra.Command{Use: "rotate-key", Short: "Encrypt all secrets with a new key", Args: cobra.NoArgs,
			Long: `Encrypts all secrets with a new key and deletes the old key. If the server
gets its key from the environment, restart it with FLAWLESS_SECRET_KEY=NEW,OLD
first, run this command, then remove OLD.`,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				key, n, err := cl.RotateSecretKey(c.Context())
				if err != nil || a.JSON {
					return a.OrPrint(err, map[string]any{"key": key, "secrets": n})
				}
				fmt.Fprintf(a.Out, "encrypted %d secrets with key %s\n", n, key)
				return nil
			})})
	return c
}

func (a *app) secretSetCommand() *cobra.Command {
	var hosts []string
	var file string
	c := &cobra.Command{Use: "set NAME", Short: "Store a secret", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSecret,
		Long: `Stores a secret. The value is read from standard input or from a file, never
from the command line, which other users can see. One newline at the end is
removed.

--host says where the secret may be sent: api.example.com,
api.example.com:8443 or *.example.com, all over HTTPS, or
http://localhost:8080 without encryption. If you omit --host when you replace
a secret, it keeps its hosts.`,
		Example: "  flawless secret set STRIPE --host api.stripe.com < key.txt\n  pass show stripe | flawless secret set STRIPE --host api.stripe.com",
		RunE: func(c *cobra.Command, args []string) error {
			if err := flawless.CheckSecretName(args[0]); err != nil {
				return err
			}
			value, err := a.readSecret(file)
			if err != nil {
				return err
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			s, err := cl.SetSecret(c.Context(), args[0], hosts, value)
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			fmt.Fprintf(a.Out, "secret %s may be sent to %s\n", s.Name, strings.Join(s.Hosts, ", "))
			return nil
		}}
	c.Flags().StringSliceVar(&hosts, "host", nil, "host that the secret may be sent to (repeatable, or separated by commas)")
	c.Flags().StringVar(&file, "file", "", "read the value from a file instead of standard input")
	return c
}

// readSecret reads the value of a secret. It prompts if standard input is a terminal.
func (a *app) readSecret(file string) (string, error) {
	var b []byte
	var err error
	in, isFile := a.In.(*os.File)
	switch {
	case file != "":
		b, err = os.ReadFile(file)
	case isFile && term.IsTerminal(int(in.Fd())):
		fmt.Fprint(a.Errs, "value: ")
		b, err = term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(a.Errs)
	default:
		b, err = io.ReadAll(io.LimitReader(a.In, flawless.MaxSecretValue+3))
	}
	if err != nil {
		return "", fmt.Errorf("reading the value: %v: %w", err, flawless.Invalid)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

func (a *app) completeSecret(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return terminal.Complete(a.Terminal, c, args, (*client.Client).Secrets, func(s flawless.Secret) string { return s.Name + "\t" + strings.Join(s.Hosts, ",") })
}
