package operate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) hostCommand() *cobra.Command {
	c := &cobra.Command{Use: "host", Short: "Configure retries and idempotency keys per host", Args: cobra.NoArgs, RunE: usage.NeedsCommand,
		Long: `Configures what the engine may do when a call to a host fails: whether it may
send a request again with the same Idempotency-Key, and how long it retries
failed calls. Changes apply from the next attempt of every call.`}
	c.AddCommand(a.hostSetCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List hosts that have settings", Args: cobra.NoArgs,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Hosts(c.Context())
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				var rows [][]string
				for _, h := range all {
					rows = append(rows, []string{h.Host, render.IdempotencyKeys(h), render.Retries(h.RetryForMS)})
				}
				a.Table("HOST\tIDEMPOTENCY-KEY\tRETRIES", rows)
				return nil
			})},
		&cobra.Command{Use: "show HOST", Short: "Show the settings of a host", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeHost,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				h, err := cl.Host(c.Context(), args[0])
				if err != nil || a.JSON {
					return a.OrPrint(err, h)
				}
				render.Host(a.Out, h)
				return nil
			})},
		&cobra.Command{Use: "rm HOST", Short: "Remove the settings of a host", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeHost,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.RemoveHost(c.Context(), args[0]); err != nil || a.JSON {
					return a.OrPrint(err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.Out, "removed the settings of host %s\n", args[0])
				return nil
			})})
	return c
}

func (a *app) hostSetCommand() *cobra.Command {
	var key string
	var within time.Duration
	var retry flagvalue.RetryFor
	c := &cobra.Command{Use: "set HOST", Short: "Change the settings of a host", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeHost,
		Long: `Changes how calls to a host are treated. HOST is api.example.com,
*.example.com (every name below it), or either with a port; the most specific
entry applies. Settings that you do not give stay as they are: --within 12h
alone changes only the time of a host that already honours keys.

--idempotency-key honoured --within 24h: the host carries out a repeated
request at most once if it arrives with the same Idempotency-Key within that
time. If a POST is cut off, the engine then sends it again within that time
instead of waiting for a decision. Use the time in the documentation of the
service, or a shorter one.

--retry-for is how long failed calls are retried. 0 or none disables retries;
default uses the setting of the module or the server.`,
		Example: "  flawless host set api.stripe.com --idempotency-key honoured --within 24h\n  flawless host set '*.internal.example' --retry-for 15m",
		RunE: func(c *cobra.Command, args []string) error {
			var change client.HostChange
			set, window := c.Flags().Changed("idempotency-key"), c.Flags().Changed("within")
			no := int64(-1)
			switch {
			case set && key != "honoured" && key != "ignored":
				return fmt.Errorf("--idempotency-key is %q; use honoured or ignored: %w", key, flawless.Invalid)
			case set && key == "ignored" && window:
				return fmt.Errorf("--within needs a host that honours keys, but --idempotency-key is ignored; omit one of them: %w", flawless.Invalid)
			case window:
				change.KeyMS = new(within.Milliseconds())
			case key == "ignored":
				change.KeyMS = &no
			}
			retries := c.Flags().Changed("retry-for")
			if retries {
				change.RetryForMS = (*int64)(&retry)
			}
			if !set && !window && !retries {
				return fmt.Errorf("nothing to change; give --idempotency-key honoured --within TIME, or --retry-for TIME: %w", flawless.Invalid)
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			if (key == "honoured") != window { // the host may have the other setting already
				switch h, err := cl.Host(c.Context(), args[0]); {
				case err != nil && !errors.Is(err, flawless.NotFound):
					return err
				case h.KeyMS > 0:
				case window:
					return fmt.Errorf("--within needs a host that honours keys, which is not set for %s; add --idempotency-key honoured: %w", args[0], flawless.Invalid)
				default:
					return fmt.Errorf("--idempotency-key honoured needs --within TIME: how long the service remembers a key: %w", flawless.Invalid)
				}
			}
			h, err := cl.ChangeHost(c.Context(), args[0], change)
			if err != nil || a.JSON {
				return a.OrPrint(err, h)
			}
			render.Host(a.Out, h)
			return nil
		}}
	f := c.Flags()
	f.StringVar(&key, "idempotency-key", "", "honoured or ignored: whether the host recognises a repeated request by its Idempotency-Key")
	f.Var(flagvalue.NewDuration(&within, 0, time.Millisecond, flawless.MaxRetryFor), "within", "how long the host remembers a key, such as 24h or 7d; needs --idempotency-key honoured")
	f.Var(&retry, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 or none disables retries; or default")
	_ = c.RegisterFlagCompletionFunc("idempotency-key", cobra.FixedCompletions([]cobra.Completion{"honoured", "ignored"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) completeHost(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return terminal.Complete(a.Terminal, c, args, (*client.Client).Hosts, func(h flawless.Host) string {
		return h.Host + "\t" + strings.TrimSpace(render.IdempotencyKeys(h)+", retries "+render.Retries(h.RetryForMS))
	})
}
