package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"millrace/job"
)

// commands is the grammar of the command line.
type commands struct {
	Serve    serveCommand    `cmd:"" help:"Run a peer of the cluster."`
	Submit   submitCommand   `cmd:"" help:"Submit a job."`
	Jobs     jobsCommand     `cmd:"" help:"List jobs, newest first."`
	Job      jobCommand      `cmd:"" help:"Show a job."`
	Explain  explainCommand  `cmd:"" help:"Say why a job's tasks run where they do, or why they wait."`
	Cancel   cancelCommand   `cmd:"" help:"Cancel a job and remove what it wrote."`
	Retry    retryCommand    `cmd:"" help:"Run a failed or cancelled job again; chunks that are good are kept."`
	Webhooks webhooksCommand `cmd:"" help:"List, add, remove and resume webhooks, and see their deliveries."`
	Orgs     orgsCommand     `cmd:"" help:"Organisations, their limits and API keys."`
	Nodes    nodesCommand    `cmd:"" help:"List nodes, show one, have it measured, remove it."`
	Drain    drainCommand    `cmd:"" help:"Give a node nothing new to do."`
	Resume   resumeCommand   `cmd:"" help:"Let a drained node work again."`
	Cluster  clusterCommand  `cmd:"" help:"The cluster as a whole."`
	Backup   backupCommand   `cmd:"" help:"Write the cluster's whole state into a file, while it runs."`
	Restore  restoreCommand  `cmd:"" help:"Make the data folder of a new cluster from a backup."`
	Probe    probeCommand    `cmd:"" help:"Try which encoders and decoders of this machine really work, and how fast; needs no peer."`
	Bench    benchCommand    `cmd:"" help:"Measure this machine."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

const description = `Millrace transcodes video on a cluster of your own machines.

Exit codes: 0 done (with --wait: the job completed), 1 the job failed or this program did, 2 wrong usage or a request that the server refused, 3 the job was cancelled, 4 the server can't be reached or takes no requests now, 130 interrupted.`

// exited is how kong's own exits (--help) leave run.
type exited int

// run is the program: it follows args and returns the exit code.
func run(ctx context.Context, args []string, std streams) (code int) {
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case exited:
			code = int(reason)
		default:
			panic(reason)
		}
	}()
	var grammar commands
	parser, err := newParser(&grammar, std)
	if err != nil {
		fmt.Fprintln(std.err, "millrace:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(std.err, "millrace: %s\n", printable(err.Error()))
		var wrong *kong.ParseError
		if errors.As(err, &wrong) {
			fmt.Fprintf(std.err, "  millrace %s--help shows what can be said.\n", commandPrefix(wrong.Context))
		}
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(std)
	err = parsed.Run()
	if err != nil {
		fmt.Fprintf(std.err, "millrace: %s\n", printable(err.Error()))
		if text := hint(err); text != "" {
			fmt.Fprintln(std.err, "  "+text)
		}
	}
	return exitCode(err)
}

func newParser(grammar *commands, std streams) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("millrace"),
		kong.Description(description),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ExplicitGroups(settingsGroups),
		kong.WithHyphenPrefixedParameters(true), // --priority -5
		kong.ValueFormatter(valueHelp),
		kong.PostBuild(nameSettingsEnvironment),
		kong.Vars{"resolutions": joined(job.Resolutions), "statuses": joined(job.Statuses)},
	)
}

// valueHelp is a flag's help with its default and its variable.
func valueHelp(value *kong.Value) string {
	text := value.Help
	if value.HasDefault && value.Default != "" {
		text += " Default: " + value.Default + "."
	}
	if len(value.Tag.Envs) > 0 {
		text += " ($" + value.Tag.Envs[0] + ")"
	}
	return text
}

// joined lists things by their names.
func joined[T any](things []T) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(things), " ", ", "), "[]")
}

// commandPrefix is the words of the command that was being parsed.
func commandPrefix(parsed *kong.Context) string {
	if parsed == nil || parsed.Command() == "" {
		return ""
	}
	if selected := parsed.Selected(); selected != nil {
		return selected.Path() + " "
	}
	return ""
}
